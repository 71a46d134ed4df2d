"""An engine without a model: it quotes the sentences that bear on the question, with their sources."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backend.core.types import Language, Scored
from backend.engines.base import End, Endpoint, GenerationRequest, Piece, Text
from backend.engines.ranking import coverage, rarity, stems
from backend.engines.sentences import sentences

MAX_SENTENCES = 3
MAX_CHARS = 400
MODEL = "extractive"
DOES_NOT_KNOW = {
    "fr": "Je ne trouve pas la réponse dans les documents.",
    "en": "I cannot find the answer in the documents.",
}


class SentenceRanker(Protocol):
    """How near sentences are to a question in meaning."""

    async def __call__(self, question: str, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Similarity of each sentence, float32[n], larger is nearer.

        Raises:
            EmbedderUnavailable: No ranking can be given now.
        """


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be quoted: `n` is its passage's number from 1, `score` its worth in [0, 1]."""

    text: str
    n: int
    place: int
    score: float


class ExtractiveEngine:
    """Quotes at most three sentences and 400 characters, each followed by `[n]`.

    Args:
        ranker: Adds nearness in meaning to words in common; without it words alone decide.
        threshold: Below this score nothing bears on the question.
    """

    name = MODEL

    def __init__(self, ranker: SentenceRanker | None = None, *, threshold: float = 0.3) -> None:
        self._ranker = ranker
        self._threshold = threshold

    async def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """A `Text` for each sentence, then `End`; `no_answer` when nothing bears on the question."""
        quotes = await self.quotes(request.question, request.passages, request.language)
        if not quotes:
            yield Text(DOES_NOT_KNOW[request.language])
            yield End("no_answer")
            return
        for i, quote in enumerate(quotes):
            yield Text(f"{' ' if i else ''}{quote.text} [{quote.n}]")
        yield End("stop")

    async def models(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The one name of this engine."""
        return (MODEL,)

    async def quotes(
        self, question: str, passages: Sequence[Scored], language: Language
    ) -> tuple[Candidate, ...]:
        """The sentences to quote, in the order to show them; empty when nothing bears on the question."""
        ranked = await asyncio.to_thread(_ranked, question, passages, language)
        if not ranked or ranked[0].score < self._threshold:
            return ()
        return _chosen(ranked)


def _ranked(question: str, passages: Sequence[Scored], language: Language) -> list[Candidate]:
    split = [sentences(scored.passage.text) for scored in passages]
    stemmed = [[stems(one, language) for one in group] for group in split]
    weight = rarity([one for group in stemmed for one in group])
    asked = stems(question, language)
    unseen = max(weight.values(), default=1.0)
    found = [
        Candidate(text, n, place, coverage(asked, stemmed[n - 1][place], weight, unseen))
        for n, group in enumerate(split, 1)
        for place, text in enumerate(group)
    ]
    return sorted(found, key=lambda one: (-one.score, one.n, one.place))


def _chosen(ranked: Sequence[Candidate]) -> tuple[Candidate, ...]:
    chosen: list[Candidate] = []
    left = MAX_CHARS
    for one in ranked:
        cost = len(one.text) + len(f" [{one.n}]") + bool(chosen)
        if len(chosen) == MAX_SENTENCES or one.score <= 0:
            break
        if cost <= left and all(one.text != other.text for other in chosen):
            chosen.append(one)
            left -= cost
    return tuple(chosen)
