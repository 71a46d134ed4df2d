"""Questions as people ask them, over real handbooks and guides: what is answered, offered, refused.

Each shelf is searched by itself, with the settings, the calibration and the embedder that the product has. A
question is *answered* when a passage surely bears on it, *offered* the closest passages when that is not sure
(a model is told so; without one nothing is quoted), *refused* when it is plainly elsewhere. Bars hold for
both halves: `open` is what the gate was made by, `aside` (`--aside`) is for the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.calibration import gate as fitting
from backend.calibration.files import calibration_for
from backend.config import Embedding, Retrieval
from backend.core.types import Language, Passage, Scored
from backend.corpus.base import CorpusRef, LiveView
from backend.embedding.base import Embedder, Vectors
from backend.retrieval.lexical_tantivy import TantivyIndex
from backend.retrieval.memory import MemoryDenseIndex
from backend.retrieval.search import Found, HybridRetriever
from loadtests import qa
from loadtests.bench import MODELS, Report, arguments
from loadtests.shelves import REVISION, Question, files, passages, questions

MOST_WRONG = 0.05
_ELSEWHERE = ("off", "near")
_NO_FOLDER = Path("no-such-folder")


@dataclass(frozen=True, slots=True)
class Shelf:
    """One shelf in both indexes, with the vectors of its questions."""

    corpus: CorpusRef
    passages: list[Passage]
    dense: MemoryDenseIndex
    lexical: TantivyIndex
    asked: dict[str, Vectors]

    async def live(self, corpus: CorpusRef) -> LiveView:
        """Everything: it is its own catalogue."""
        return LiveView("v1", frozenset({REVISION}))

    async def found(self, one: Question, settings: Retrieval) -> Found:
        """What both indexes say."""
        most = settings.candidates
        lexical = await self.lexical.search(self.corpus, one.question, one.language, most)
        return Found(
            list(await self.dense.search(self.corpus, self.asked[one.question], most)), list(lexical)
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a question fared."""

    asked: Question
    found: Sequence[Scored]
    settings: Retrieval

    @property
    def best(self) -> float:
        """Of the passages chosen; 0 when it was refused."""
        return max((one.score for one in self.found), default=0.0)

    @property
    def answered(self) -> bool:
        """Whether a passage surely bears on it."""
        return self.best >= self.settings.doubt_threshold

    @property
    def refused(self) -> bool:
        """Whether nothing is offered either."""
        return not self.found

    @property
    def is_right(self) -> bool:
        """Whether a passage that answers is among those chosen."""
        return any(self.asked.is_answered_by(one.passage) for one in self.found)


class _Asked:
    """An embedder whose questions are embedded already."""

    def __init__(self, inner: Embedder, vectors: dict[str, Vectors]) -> None:
        self.id, self.dimensions, self.max_tokens = inner.id, inner.dimensions, inner.max_tokens
        self._vectors = vectors

    async def embed_queries(self, texts: Sequence[str]) -> list[Vectors]:
        return [self._vectors[text] for text in texts]

    def count_tokens(self, text: str) -> int:
        return 0


async def shelf(args: argparse.Namespace, name: str, asked: Sequence[Question], embedder: Embedder) -> Shelf:
    """Read, embedded (vectors are kept in `--cache`) and indexed."""
    found = await passages(files(args, name), embedder)
    if not found:
        sys.exit(f"no document of the shelf {name}: see --data and --documents")
    texts = [one.question for one in asked]
    vectors = await qa.passage_vectors(embedder, [one.indexed_text for one in found], args.cache)
    by_text = dict(zip(texts, await qa.query_vectors(embedder, texts, args.cache), strict=True))
    made = Shelf(CorpusRef("bench", name), found, MemoryDenseIndex(), TantivyIndex(None), by_text)
    await made.dense.add(made.corpus, found, vectors)
    await made.lexical.add(made.corpus, found)
    return made


async def verdicts(
    some: dict[str, Shelf], asked: Sequence[Question], embedder: Embedder, settings: Retrieval
) -> list[Verdict]:
    """Every question through the product's retriever."""
    made = []
    for name, one in some.items():
        retriever = HybridRetriever(
            embedder=_Asked(embedder, one.asked),  # type: ignore[arg-type]
            dense=one.dense,
            lexical=one.lexical,
            catalogue=one,  # type: ignore[arg-type]
            gate=calibration_for(embedder.id, _NO_FOLDER).gate,
            settings=settings,
        )
        for question in (q for q in asked if q.shelf == name):
            found = await retriever.retrieve(
                [one.corpus], question.question, question.language, budget_tokens=1_000_000
            )
            made.append(Verdict(question, found.passages, settings))
    return made


def show(report: Report, half: str, made: Sequence[Verdict]) -> None:
    """The table by kind, and the bars."""
    rows = []
    for kind in dict.fromkeys(one.asked.kind for one in made):
        mine = [one for one in made if one.asked.kind == kind]
        answered, refused = sum(v.answered for v in mine), sum(v.refused for v in mine)
        offered = len(mine) - answered - refused
        right = "" if kind in _ELSEWHERE else sum(v.is_right for v in mine)
        rows.append((kind, len(mine), answered, offered, refused, right))
    columns = ("kind", "questions", "answered", "offered", "refused", "right passage shown")
    report.table(f"Half {half}", columns, rows, key=half)
    there = [one for one in made if one.asked.document]
    elsewhere = [one for one in made if not one.asked.document]
    for name, wrong, of in (
        ("false refusals", sum(v.refused for v in there), there),
        ("answered off topic", sum(v.answered for v in elsewhere), elsewhere),
    ):
        report.bar(f"{name}, {half}", wrong / max(1, len(of)), at_most=MOST_WRONG)
    for one in made:
        if (one.refused and one.asked.document) or (one.answered and not one.asked.document):
            report.say(f"  {one.asked.kind} {one.asked.shelf} {one.best:.2f} {one.asked.question}")


async def fit(report: Report, some: dict[str, Shelf], asked: Sequence[Question], settings: Retrieval) -> None:
    """What `libriassist calibrate` would make of the open half; printed as a calibration holds it."""
    examples: list[tuple[Language, fitting.Example]] = []
    for question in asked:
        one = some[question.shelf]
        relevant = frozenset(p.id for p in one.passages if question.is_answered_by(p))
        made = fitting.examples(await one.found(question, settings), relevant, settings)
        examples += [(question.language, example) for example in made]
    for language, mine in fitting.by_language(examples).items():
        if found := fitting.fitted(mine, settings.no_answer_threshold):
            fits = {name: asdict(one) for name, one in found.fits.items()}
            report.say(f"{language}: AUC {found.auc:.3f}, words alone {found.auc_words:.3f}")
            report.say(json.dumps({language: fits}))


async def measure(args: argparse.Namespace, report: Report) -> None:
    """Both halves, or the open one."""
    settings, section = Retrieval(), Embedding()
    embedder = qa.embedder(MODELS, name=section.model, runtime="onnx", precision=section.precision, threads=2)
    asked = questions()
    try:
        some = {
            name: await shelf(args, name, [q for q in asked if q.shelf == name], embedder)
            for name in dict.fromkeys(q.shelf for q in asked)
        }
        halves = {"open": [q for q in asked if not q.aside], "aside": [q for q in asked if q.aside]}
        if args.fit:
            await fit(report, some, halves["open"], settings)
        for half, mine in halves.items():
            if half == "open" or args.aside:
                show(report, half, await verdicts(some, mine, embedder, settings))
    finally:
        embedder.close()


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--documents", type=Path, metavar="DIR", help="a folder for each other shelf")
        parser.add_argument("--cache", type=Path, metavar="DIR", help="keep vectors here")
        parser.add_argument("--aside", action="store_true", help="the half kept aside as well")
        parser.add_argument("--fit", action="store_true", help="fit the gate to the open half, and print it")

    args = arguments(__doc__ or "", argv, more=more)
    report = Report("bench_questions")
    asyncio.run(measure(args, report))
    return report.finish(args)


if __name__ == "__main__":
    sys.exit(main())
