"""Both indexes asked together: what is live, fused, judged and cut to the budget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from backend.config import Retrieval
from backend.core.clock import Clock, SystemClock
from backend.core.errors import RetrievalUnavailable, Unavailable
from backend.core.types import Language, Passage, Scored
from backend.corpus.base import Catalogue, CorpusRef, LiveView
from backend.embedding.base import Embedder
from backend.retrieval.base import DenseIndex, Derived, Hit, LexicalIndex, Retrieved
from backend.retrieval.fuse import Ranking, fused, spread
from backend.retrieval.gate import Gate, Signs

log = logging.getLogger(__name__)

Views = dict[CorpusRef, LiveView]
Search = Callable[[CorpusRef, int], Awaitable[Sequence[Hit]]]
Side = list[Hit] | None

_MOST_CANDIDATES = 2000
_LATE_IN_A_ROW = 3
_LEFT_ALONE_S = 5.0
_NEARLY = 0.75
_LOOK_S = 0.02
_FORGOTTEN_S = 10.0
_FIRST, _FEW = 5, 10


BEING_MADE: Final = "dense_being_made"
"""In `degraded`, beside "dense": its index is not whole yet, as after a change of the embedder."""


@dataclass(frozen=True, slots=True)
class Found:
    """Hits of each side, best first; None for a side that did not answer."""

    dense: Side
    lexical: Side

    @property
    def degraded(self) -> tuple[str, ...]:
        """Sides that did not answer."""
        sides = (("dense", self.dense), ("lexical", self.lexical))
        return tuple(name for name, side in sides if side is None)


@dataclass(slots=True)
class _Late:
    """How an index has kept its deadline."""

    in_a_row: int = 0
    until: float = 0.0

    def again(self, now: float) -> None:
        """It was late once more."""
        self.in_a_row += 1
        if self.in_a_row >= _LATE_IN_A_ROW:
            self.until = now + _LEFT_ALONE_S

    def is_left_alone(self, now: float) -> bool:
        """Whether it is not to be asked now; after that, one late answer leaves it alone again."""
        return now < self.until


@dataclass(slots=True)
class _Behind:
    """An index that lacks something live, since when, and when that was last seen."""

    since: float
    seen: float


class HybridRetriever:
    """See `Retriever`.

    Each side has `settings.index_timeout_s`; the one that fails or is late is left out and named in
    `degraded`; one that was late several times in a row is left alone for a while. One that lacks passages
    of what is live is waited for, for `settings.catch_up_s` from when that was first seen, then left out.
    Questions beyond `settings.concurrency` wait their turn uncounted: many readers at once are no failure of
    an index.
    """

    def __init__(
        self,
        *,
        embedder: Embedder,
        dense: DenseIndex,
        lexical: LexicalIndex,
        catalogue: Catalogue,
        gate: Gate,
        settings: Retrieval,
        clock: Clock | None = None,
    ) -> None:
        self._embedder = embedder
        self._dense = dense
        self._lexical = lexical
        self._catalogue = catalogue
        self._gate = gate
        self._settings = settings
        self._clock = clock or SystemClock()
        self._turns = asyncio.Semaphore(settings.concurrency)
        self._late = {"dense": _Late(), "lexical": _Late()}
        self._behind: dict[tuple[str, CorpusRef], _Behind] = {}

    async def retrieve(
        self, corpora: Sequence[CorpusRef], question: str, language: Language, *, budget_tokens: int
    ) -> Retrieved:
        """See `Retriever`."""
        async with self._turns:
            views = await self._views(corpora)
            found = await self._search(views, question, language)
            if (now := await self._views(corpora)) != views:
                # A flip came between: passages of the old revision may already have been removed.
                views = now
                found = await self._search(views, question, language)
        if found.dense is None and found.lexical is None:
            raise RetrievalUnavailable("no index answers", retry_after_s=5.0)
        versions = tuple((corpus.name, view.version) for corpus, view in views.items())
        passages = self._chosen(found, language, budget_tokens)
        return Retrieved(passages, versions, found.degraded + self._reasons(views, found))

    def _reasons(self, views: Views, found: Found) -> tuple[str, ...]:
        """Why a side did not answer, where a reader may be told to come again."""
        is_made = found.dense is None and any(("dense", corpus) in self._behind for corpus in views)
        return (BEING_MADE,) if is_made else ()

    async def _views(self, corpora: Sequence[CorpusRef]) -> Views:
        return {corpus: await self._catalogue.live(corpus) for corpus in dict.fromkeys(corpora)}

    async def _search(self, views: Views, question: str, language: Language) -> Found:
        live = {corpus: view for corpus, view in views.items() if view.revisions}
        if not live:
            return Found([], [])
        dense, lexical = await asyncio.gather(
            self._side("dense", lambda: self._dense_hits(live, question)),
            self._side("lexical", lambda: self._lexical_hits(live, question, language)),
        )
        return Found(dense, lexical)

    async def _side(self, name: str, work: Callable[[], Awaitable[list[Hit]]]) -> Side:
        late = self._late[name]
        began = self._clock.monotonic()
        if late.is_left_alone(began):
            return None
        try:
            async with asyncio.timeout(self._settings.index_timeout_s):
                hits = await work()
        except (Unavailable, TimeoutError) as exc:
            log.warning("index left out", extra={"index": name, "reason": type(exc).__name__})
            now = self._clock.monotonic()
            if isinstance(exc, TimeoutError) or now - began >= self._settings.index_timeout_s * _NEARLY:
                late.again(now)
            return None
        late.in_a_row = 0
        return hits

    async def _dense_hits(self, live: Views, question: str) -> list[Hit]:
        await self._whole("dense", self._dense, live)
        vector = (await self._embedder.embed_queries([question]))[0]
        return await self._merged(live, lambda corpus, limit: self._dense.search(corpus, vector, limit))

    async def _lexical_hits(self, live: Views, question: str, language: Language) -> list[Hit]:
        def search(corpus: CorpusRef, limit: int) -> Awaitable[Sequence[Hit]]:
            return self._lexical.search(corpus, question, language, limit)

        await self._whole("lexical", self._lexical, live)
        return await self._merged(live, search)

    async def _whole(self, name: str, index: Derived, live: Views) -> None:
        """Wait until an index holds all that is live.

        Raises:
            RetrievalUnavailable: It is behind; or ahead, for what was live a moment ago may be gone from it.
        """
        for corpus, view in live.items():
            while not await index.covers(corpus, view):
                changed = (await self._catalogue.live(corpus)).version != view.version
                if changed or self._gives_up(name, corpus):
                    raise RetrievalUnavailable(f"the {name} index is at another version")
                await asyncio.sleep(_LOOK_S)
            self._behind.pop((name, corpus), None)

    def _gives_up(self, name: str, corpus: CorpusRef) -> bool:
        """Whether an index that is behind has been so for longer than anybody waits."""
        now = self._clock.monotonic()
        behind = self._behind.get((name, corpus))
        if behind is None or now - behind.seen > _FORGOTTEN_S:
            behind = self._behind[name, corpus] = _Behind(now, now)
        behind.seen = now
        return now - behind.since >= self._settings.catch_up_s

    async def _merged(self, live: Views, search: Search) -> list[Hit]:
        lists = await asyncio.gather(*(self._live_hits(search, corpus, live[corpus]) for corpus in live))
        hits = [hit for some in lists for hit in some]
        return sorted(hits, key=lambda hit: -hit.score) if len(lists) > 1 else hits

    async def _live_hits(self, search: Search, corpus: CorpusRef, view: LiveView) -> list[Hit]:
        """Candidates of live revisions; asks for more when too many were of dead ones."""
        wanted = asked = self._settings.candidates
        while True:
            hits = await search(corpus, asked)
            kept = [hit for hit in hits if hit.passage.revision in view.revisions]
            if len(kept) >= wanted or len(hits) < asked or asked >= _MOST_CANDIDATES:
                return kept[:wanted]
            asked = min(asked * 4, _MOST_CANDIDATES)

    def _chosen(self, found: Found, language: Language, budget_tokens: int) -> tuple[Scored, ...]:
        """The best passages by fused rank, or none when not one of them bears on the question.

        What nobody can judge is let through with the lowest score that is.
        """
        least = self._settings.no_answer_threshold
        scored = []
        for passage in ranked(found, self._settings):
            score = self._gate.bearing(signs(passage, found), language)
            scored.append(Scored(passage, least if score is None else score))
        kept = self._within(scored, budget_tokens)
        return kept if max((one.score for one in kept), default=0.0) >= least else ()

    def _within(self, scored: Sequence[Scored], budget_tokens: int) -> tuple[Scored, ...]:
        """Those that fit; one too long does not keep out the shorter ones behind it."""
        kept: list[Scored] = []
        left = budget_tokens
        for one in scored:
            tokens = self._embedder.count_tokens(one.passage.indexed_text)
            if tokens <= left:
                kept.append(one)
                left -= tokens
        return tuple(kept)


def ranked(found: Found, settings: Retrieval) -> list[Passage]:
    """At most `settings.limit` passages by fused rank, spread over documents."""
    return spread(_distinct(found, settings), settings.per_document)[: settings.limit]


def _distinct(found: Found, settings: Retrieval) -> list[Passage]:
    """Passages by fused rank; of those with one text, the first."""
    dense, lexical = found.dense or [], found.lexical or []
    passages = {hit.passage.id: hit.passage for hit in (*dense, *lexical)}
    order = fused(
        [
            Ranking([hit.passage.id for hit in lexical], settings.lexical_weight),
            Ranking([hit.passage.id for hit in dense]),
        ],
        k=settings.rrf_k,
    )
    texts: dict[str, Passage] = {}
    for id in order:
        texts.setdefault(" ".join(passages[id].body.split()).casefold(), passages[id])
    return list(texts.values())


def signs(passage: Passage, found: Found) -> Signs:
    """What both sides say of a passage.

    The cosine of one that only the lexical index names is that of the last dense hit: it has no more.
    """
    dense, lexical = _hit(passage, found.dense), _hit(passage, found.lexical)
    cosines = [max(0.0, hit.score) for hit in found.dense or ()] or [0.0]
    cosine = max(0.0, dense.score) if dense else cosines[-1]
    behind = cosines[_FIRST:] if len(cosines) >= _FEW else ()
    return Signs(
        cosine=None if found.dense is None else cosine,
        covers=None if found.lexical is None else lexical.covers if lexical else 0.0,
        matched=None if found.lexical is None else lexical.matched if lexical else 0.0,
        lead=max(0.0, cosine - sum(behind) / len(behind)) if behind else None,
    )


def _hit(passage: Passage, side: Side) -> Hit | None:
    return next((hit for hit in side or () if hit.passage.id == passage.id), None)
