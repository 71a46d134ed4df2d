"""The operator's questions asked of the indexes, and what is learned from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.calibration import fusion, gate, quoting
from backend.calibration.base import Calibration
from backend.calibration.questions import Asked
from backend.config import Retrieval
from backend.core.errors import InvalidRequest
from backend.core.types import Language, Passage
from backend.corpus.base import CorpusRef, LiveView, WritableCatalogue
from backend.embedding.base import Embedder, Vectors
from backend.engines.ranking import Weights
from backend.retrieval.base import DenseIndex, LexicalIndex
from backend.retrieval.search import Found, ranked

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Learned:
    """What can be said of the embedder after all questions; None for what had too few of them.

    Attributes:
        quotable: Questions whose answer stood in a sentence that would have been considered.
    """

    fusion: fusion.Fitted | None
    gates: dict[Language, gate.Fitted | None]
    quoting: Weights | None
    quotable: int


@dataclass(frozen=True, slots=True)
class Learner:
    """Asks one corpus."""

    catalogue: WritableCatalogue
    embedder: Embedder
    dense: DenseIndex
    lexical: LexicalIndex
    settings: Retrieval
    present: Calibration

    async def learn(self, corpus: CorpusRef, asked: Sequence[Asked]) -> Learned:
        """Fits of everything that the questions suffice for.

        Raises:
            InvalidRequest: The corpus is empty, or a document or an answer that is named is not there.
            Unavailable: An index, the embedder or the database does not answer.
        """
        view = await self.catalogue.live(corpus)
        if not view.revisions:
            raise InvalidRequest(f"the corpus {corpus.name} holds no document: `libriassist ingest` first")
        relevant = [await self._relevant(corpus, one) for one in asked]
        examples: list[tuple[Language, gate.Example]] = []
        rankings: list[fusion.Case] = []
        cases: list[quoting.Case] = []
        settings = self.settings.model_copy(update={"limit": max(self.settings.limit, 10)})
        for first in range(0, len(asked), _AT_ONCE):
            some = asked[first : first + _AT_ONCE]
            vectors = await self.embedder.embed_queries([one.question for one in some])
            for one, vector, ids in zip(some, vectors, relevant[first : first + _AT_ONCE], strict=True):
                found = await self._found(corpus, view, one, vector)
                examples += [(one.language, made) for made in gate.examples(found, ids, settings)]
                rankings.append(fusion.Case(one.language, found, ids))
                if one.answer and (case := await self._case(one, ranked(found, self.settings))):
                    cases.append(case)
        threshold = self.settings.no_answer_threshold
        gates = {name: gate.fitted(e, threshold) for name, e in gate.by_language(examples).items()}
        return Learned(
            fusion.fitted(rankings, self.settings),
            gates,
            quoting.fitted(cases, self.present.by_words),
            len(cases),
        )

    async def _relevant(self, corpus: CorpusRef, one: Asked) -> frozenset[str]:
        """Ids of the passages that answer."""
        if not one.document:
            return frozenset()
        found = await self.catalogue.by_name(corpus, one.document)
        if found is None:
            raise InvalidRequest(f"the corpus {corpus.name} holds no document {one.document[:100]!a}")
        passages = await self.catalogue.passages(corpus, found[0].revision)
        ids = frozenset(p.id for p in passages if not one.answer or quoting.holds(p.text, one.answer))
        if not ids:
            raise InvalidRequest(
                f"no passage of {one.document[:100]!a} holds the answer {one.answer[:100]!a}"
            )
        return ids

    async def _found(self, corpus: CorpusRef, view: LiveView, one: Asked, vector: Vectors) -> Found:
        most = self.settings.candidates
        dense = await self.dense.search(corpus, vector, most)
        lexical = await self.lexical.search(corpus, one.question, one.language, most)
        return Found(
            *([h for h in hits if h.passage.revision in view.revisions] for hits in (dense, lexical))
        )

    async def _case(self, one: Asked, passages: Sequence[Passage]) -> quoting.Case | None:
        words = self.present.by_words
        return await quoting.case(one.question, one.language, one.answer, passages, words, self._nearness)

    async def _nearness(self, question: str, sentences: Sequence[str]) -> Vectors:
        rows = await self.embedder.embed_passages(sentences)
        near: Vectors = rows @ (await self.embedder.embed_queries([question]))[0]
        return near
