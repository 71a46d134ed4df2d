"""An answer in the making: what has been said, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.chat.base import RequestRecord
from backend.chat.citations import CitationFilter
from backend.core.clock import Clock
from backend.core.events import Done, Source, Timings
from backend.core.text import is_visible
from backend.core.types import FinishReason, Scored, Usage


@dataclass(slots=True)
class Draft:
    """State of one production. Times are seconds; None where the stage did not happen.

    Attributes:
        usable: The first so many sources may be cited: the others are shown, but are not in the prompt.
    """

    clock: Clock
    record: RequestRecord
    text: list[str] = field(default_factory=list)
    thought: bool = False
    sources: tuple[Source, ...] = ()
    usable: int = 0
    degraded: tuple[str, ...] = ()
    citations: CitationFilter = field(default_factory=lambda: CitationFilter(0))
    queue_s: float | None = None
    retrieval_s: float | None = None
    first_token_s: float | None = None

    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self.clock.monotonic() - self.record.began

    def done(self, reason: FinishReason, usage: Usage | None = None) -> Done:
        """The terminal event of an answer that ended well, or was stopped."""
        timings = Timings(self.queue_s, self.retrieval_s, self.first_token_s, self.elapsed_s())
        return Done(reason, usage or Usage(), timings, self.cited(), self.degraded)

    def cited(self) -> tuple[int, ...]:
        """Numbers of the sources cited so far, ascending."""
        return tuple(sorted(self.citations.cited))

    def build_on(self, passages: tuple[Scored, ...], degraded: tuple[str, ...]) -> None:
        """Number the passages and let the answer cite them."""
        self.degraded = degraded
        self.sources = tuple(_source(n, scored) for n, scored in enumerate(passages, 1))
        self.usable = len(self.sources)
        self.citations = CitationFilter(self.usable)

    def narrow(self, passages: int) -> None:
        """From now on the answer is made from the first `passages` sources."""
        self.usable = self.citations.sources = passages

    def has_answer(self) -> bool:
        """Whether anything was said that a reader can see."""
        return any(is_visible(text) for text in self.text)

    def withdraw(self) -> None:
        """Forget all that was said; sources stay."""
        self.citations = CitationFilter(self.usable)
        self.text.clear()
        self.thought = False


def _source(n: int, scored: Scored) -> Source:
    passage = scored.passage
    return Source(
        n=n,
        document=passage.document,
        title=passage.title,
        page=passage.page,
        score=round(scored.score, 4),
        revision=passage.revision,
        passage=passage.id,
        name=passage.name,
        heading=" > ".join(passage.headings),
        start=passage.start,
        end=passage.end,
    )
