"""An engine without a model: it quotes the sentences that bear on the question, with their sources."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import Unavailable
from backend.core.languages import spoken
from backend.core.types import Language, Passage
from backend.engines.base import End, Endpoint, GenerationRequest, LoadedModel, ModelInfo, Piece, Text
from backend.engines.ranking import Ranked, Sentence, Weights, distinct, found
from backend.engines.resume import resume

MAX_SENTENCES = 3
MAX_CHARS = 400
MODEL = "extractive"
DOES_NOT_KNOW = {
    "fr": "Je ne trouve pas la réponse dans les documents.",
    "en": "I cannot find the answer in the documents.",
}
COMPARED = 12
SURE = 0.5
"""A passage of this score bears on the question: retrieval's gate has judged, and is not judged again."""
_WORTH_ADDING = 0.2
_MARK_CHARS = len(" [99] ")


class SentenceRanker(Protocol):
    """How near sentences are to a question in meaning."""

    async def __call__(self, question: str, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Similarity of each sentence, float32[n], larger is nearer.

        Raises:
            EmbedderUnavailable: No ranking can be given now.
        """


class ExtractiveEngine:
    """Quotes at most three sentences and 400 characters, each followed by `[n]`.

    Args:
        ranker: Tells how near the likeliest sentences are in meaning; without it, or when it cannot be used
            now, words alone decide.
        by_words: What makes a sentence likely to hold the answer.
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
        """A `Text` for each sentence, then `End`; `no_answer` when nothing bears on the question.

        The same question and passages give the same quotes: an answer of its own goes on where it broke off.
        """
        return resume(self._quote, request, prefills=False) if request.partial else self._quote(request)

    async def _quote(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        passages = [scored.passage for scored in request.passages]
        sure = any(scored.score >= SURE for scored in request.passages)
        quotes = await self.quotes(request.question, passages, request.language, sure=sure)
        for i, quote in enumerate(quotes):
            yield Text(f"{' ' if i else ''}{quote.text} [{quote.n}]")
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
        self, question: str, passages: Sequence[Passage], language: Language, *, sure: bool = False
    ) -> tuple[Sentence, ...]:
        """The sentences to quote, as they are shown; none when nothing bears on the question.

        Args:
            question: Understandable alone.
            passages: Best first.
            language: Sentences in it are preferred.
            sure: The passages are known to bear on the question: the likeliest sentences are quoted anyway.
        """
        all_found = await asyncio.to_thread(found, question, passages)
        weights, ranked = await self._ranked(question, all_found)
        own = [one for one in ranked if one.sentence.language == language]
        for some in (own, ranked):
            if some and (sure or some[0].score >= weights.threshold(some[0].sentence.language)):
                return _shown(_chosen(distinct(some)))
        return ()

    async def _ranked(self, question: str, all_found: Sequence[Sentence]) -> tuple[Weights, Sequence[Ranked]]:
        ranked = _by_score(all_found, self._by_words)
        if self._ranker is None or self._by_meaning is None or not ranked:
            return self._by_words, ranked
        best = [one.sentence for one in ranked[:COMPARED]]
        try:
            nearness = await self._ranker(question, [one.text for one in best])
        except Unavailable:
            return self._by_words, ranked
        told = [
            replace(one, signs=replace(one.signs, meaning=float(near)))
            for one, near in zip(best, nearness, strict=True)
        ]
        return self._by_meaning, _by_score(told, self._by_meaning)


def _by_score(some: Sequence[Sentence], weights: Weights) -> list[Ranked]:
    scored = [Ranked(one, weights.likelihood(one.signs)) for one in some]
    return sorted(scored, key=lambda one: -one.score)


def _chosen(ranked: Sequence[Ranked]) -> list[Sentence]:
    """The likeliest that fit; a sentence longer than the whole answer only when no other is worth it."""
    chosen: list[Sentence] = []
    left = MAX_CHARS
    for one in ranked:
        cost = len(one.sentence.text) + _MARK_CHARS
        if len(chosen) == MAX_SENTENCES or one.score < _WORTH_ADDING * ranked[0].score:
            break
        if cost <= left:
            chosen.append(one.sentence)
            left -= cost
    return chosen or [_clipped(ranked[0].sentence)]


def _clipped(sentence: Sentence) -> Sentence:
    """The beginning of a long sentence, cut between two words."""
    head = sentence.text[: MAX_CHARS - _MARK_CHARS - 2].rpartition(" ")[0] or sentence.text[: MAX_CHARS // 2]
    return replace(sentence, text=head.rstrip(" ,;:–—-(«") + " …")


def _shown(chosen: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """Passages in the order of their best sentence, sentences of one passage as they stand there."""
    order = list(dict.fromkeys(one.n for one in chosen))
    return tuple(sorted(chosen, key=lambda one: (order.index(one.n), one.place)))
