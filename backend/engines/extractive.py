"""An engine without a model: it quotes what bears on the question, with its sources."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import Unavailable
from backend.core.languages import spoken
from backend.core.types import Language, Scored
from backend.engines.base import End, Endpoint, GenerationRequest, LoadedModel, ModelInfo, Piece, Text
from backend.engines.ranking import Quote, Ranked, Weights, distinct, found
from backend.engines.resume import resume
from backend.engines.units import Unit

MAX_QUOTES = 3
MAX_CHARS = 400
"""Of sentences together."""
MAX_BLOCK_CHARS = 1200
"""Of an answer with a list, a table or code in it."""
MODEL = "extractive"
DOES_NOT_KNOW = {
    "fr": "Je ne trouve pas la réponse dans les documents.",
    "en": "I cannot find the answer in the documents.",
}
COMPARED = 12
SURE = 0.5
"""A passage of this score bears on the question: retrieval's gate has judged, and is not judged again."""
_WORTH_ADDING = 0.2
_MARK_CHARS = len(" [99]")
_BLOCK_MARK_CHARS = len("\n\n[99]\n\n")


class SentenceRanker(Protocol):
    """How near sentences are to a question in meaning."""

    async def __call__(self, question: str, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Similarity of each sentence, float32[n], larger is nearer.

        Raises:
            EmbedderUnavailable: No ranking can be given now.
        """


class ExtractiveEngine:
    """Quotes at most three sentences or blocks (a list, rows of a table, code), each followed by `[n]`.

    Args:
        ranker: Tells how near the likeliest quotes are in meaning; without it, or when it cannot be used
            now, words alone decide.
        by_words: What makes a quote likely to hold the answer.
        by_meaning: The same with a ranker; without it none is asked.
    """

    name = MODEL

    def __init__(
        self,
        ranker: SentenceRanker | None = None,
        *,
        by_words: Weights,
        by_meaning: Weights | None = None,
    ) -> None:
        self._ranker = ranker
        self._by_words = by_words
        self._by_meaning = by_meaning

    def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """A `Text` for each quote, then `End`; `no_answer` when nothing bears on the question.

        The same question and passages give the same quotes: an answer of its own goes on where it broke off.
        """
        return resume(self._quote, request, prefills=False) if request.partial else self._quote(request)

    async def _quote(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        quotes = await self.quotes(request.question, request.passages, request.language)
        before: Quote | None = None
        for quote in quotes:
            yield Text(_joint(before, quote) + _marked(quote))
            before = quote
        if not quotes:
            yield Text(DOES_NOT_KNOW[spoken(request.language)])
        yield End("stop" if quotes else "no_answer")

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """The one name of this engine."""
        return (ModelInfo(MODEL, thinks=False),)

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """The same."""
        return (LoadedModel(MODEL),)

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        """Nothing to do."""

    async def quotes(
        self, question: str, passages: Sequence[Scored], language: Language
    ) -> tuple[Quote, ...]:
        """What to quote, as it is shown; nothing when nothing bears on the question.

        Each quote is of a passage that bears on the question by itself: of those that retrieval is sure of,
        if there are any; else of those that hold a quote which is likely enough on its own.

        Args:
            question: Understandable alone.
            passages: Best first.
            language: Quotes in it are preferred.
        """
        sure = {n for n, one in enumerate(passages, 1) if one.score >= SURE}
        everything = await asyncio.to_thread(found, question, [one.passage for one in passages])
        weights, ranked = await self._ranked(question, [q for q in everything if not sure or q.n in sure])
        own = [one for one in ranked if one.quote.language == language]
        for some in (own, ranked):
            likely = sure or {o.quote.n for o in some if o.score >= weights.threshold(o.quote.language)}
            kept = [one for one in some if one.quote.n in likely]
            if kept:
                return _shown(_chosen(distinct(kept)))
        return ()

    async def _ranked(self, question: str, quotes: Sequence[Quote]) -> tuple[Weights, Sequence[Ranked]]:
        ranked = _by_score(quotes, self._by_words)
        if self._ranker is None or self._by_meaning is None or not ranked:
            return self._by_words, ranked
        best = [one.quote for one in ranked[:COMPARED]]
        try:
            nearness = await self._ranker(question, [one.text for one in best])
        except Unavailable:
            return self._by_words, ranked
        told = [
            replace(one, signs=replace(one.signs, meaning=float(near)))
            for one, near in zip(best, nearness, strict=True)
        ]
        return self._by_meaning, _by_score(told, self._by_meaning)


def _by_score(some: Sequence[Quote], weights: Weights) -> list[Ranked]:
    scored = [Ranked(one, weights.likelihood(one.signs)) for one in some]
    return sorted(scored, key=lambda one: -one.score)


def _chosen(ranked: Sequence[Ranked]) -> list[Quote]:
    """The likeliest that fit; the best of all in any case, cut if it must be."""
    chosen: list[Quote] = []
    left, left_in_all = MAX_CHARS, MAX_BLOCK_CHARS
    for one in ranked:
        if len(chosen) == MAX_QUOTES or one.score < _WORTH_ADDING * ranked[0].score:
            break
        unit = one.quote.unit
        cost = len(unit.shown) + (_BLOCK_MARK_CHARS if unit.is_block else _MARK_CHARS)
        if cost <= (left_in_all if unit.is_block else min(left, left_in_all)):
            chosen.append(one.quote)
            left_in_all -= cost
            left -= 0 if unit.is_block else cost
    return chosen or [_clipped(ranked[0].quote)]


def _clipped(quote: Quote) -> Quote:
    """The beginning of a long quote, cut between two items, rows or words."""
    unit = quote.unit
    if unit.is_block:
        while len(unit.parts) > 1 and not _fits(unit):
            unit = replace(unit, parts=unit.parts[:-1])
        if _fits(unit):
            return replace(quote, unit=unit)
    head = unit.text[: MAX_CHARS - _MARK_CHARS - 2].rpartition(" ")[0] or unit.text[: MAX_CHARS // 2]
    return replace(quote, unit=Unit("sentence", (head.rstrip(" ,;:–—-(«") + " …",)))


def _fits(block: Unit) -> bool:
    return len(block.shown) + _BLOCK_MARK_CHARS <= MAX_BLOCK_CHARS


def _shown(chosen: Sequence[Quote]) -> tuple[Quote, ...]:
    """Passages in the order of their best quote, quotes of one passage as they stand there."""
    order = list(dict.fromkeys(one.n for one in chosen))
    return tuple(sorted(chosen, key=lambda one: (order.index(one.n), one.place)))


def _marked(quote: Quote) -> str:
    """With its citation, which stands below what is not text."""
    own_line = quote.unit.kind in ("table", "code")
    return f"{quote.unit.shown}{chr(10) * 2 if own_line else ' '}[{quote.n}]"


def _joint(before: Quote | None, after: Quote) -> str:
    if before is None:
        return ""
    return "\n\n" if before.unit.is_block or after.unit.is_block else " "
