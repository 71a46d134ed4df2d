"""What is said of one answer: into its log, through the citation filter, and kept for whoever ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from backend.chat.citations import CitationFilter
from backend.chat.transcript import Transcript
from backend.core.clock import Clock
from backend.core.events import (
    Delta,
    Done,
    LogEvent,
    Origin,
    Queue,
    Replace,
    Source,
    Sources,
    Thinking,
    Timings,
)
from backend.core.types import CacheState, FinishReason, Scored, Usage
from backend.generations.base import RequestRecord, Writer
from backend.telemetry.metrics import Metrics


@dataclass(slots=True, kw_only=True)
class Voice:
    """State of one production; of one that is taken over, `said` is what was said before.

    Times are seconds; None where the stage did not happen here.

    Attributes:
        usable: The first so many sources may be cited: the others are shown, but are not in the prompt.
        degraded: What was missing, by now.
    """

    writer: Writer
    record: RequestRecord
    clock: Clock
    metrics: Metrics
    said: Transcript = field(default_factory=Transcript)
    usable: int = 0
    citations: CitationFilter = field(default_factory=lambda: CitationFilter(0))
    queue_s: float | None = None
    retrieval_s: float | None = None
    first_token_s: float | None = None

    def __post_init__(self) -> None:
        """Go on behind what was said."""
        self.narrow(len(self.said.sources))
        self.citations.passed(self.said.answer)

    @property
    def degraded(self) -> tuple[str, ...]:
        """What is missing by now."""
        return self.record.degraded

    def elapsed_s(self) -> float:
        """Seconds since the run began, wherever that was."""
        return max(0.0, self.clock.now() - self.record.began)

    def done(self, reason: FinishReason, usage: Usage | None = None) -> Done:
        """The terminal event of an answer that ended well, or was stopped."""
        timings = Timings(self.queue_s, self.retrieval_s, self.first_token_s, self.elapsed_s())
        cited = tuple(sorted(self.citations.cited))
        return Done(reason, usage or Usage(), timings, cited, self.degraded)

    async def comes_from(self, cache: CacheState) -> None:
        """Say where the answer comes from, before all else; what is said already stands."""
        if self.said.origin is None:
            variant = self.record.variant
            await self.emit(Origin(cache, variant.model, variant.id))

    async def show(self, passages: Sequence[Scored], degraded: tuple[str, ...]) -> None:
        """Number the passages, let the answer cite them, and show them.

        Noted first: nobody looks a second time for what a reader has seen.
        """
        if self.record.passages is None:
            await self._note(replace(self.record, passages=tuple(passages), degraded=degraded))
        if self.said.found is None:
            sources = tuple(source_of(n, scored) for n, scored in enumerate(passages, 1))
            await self.emit(Sources(sources, degraded))
        self.narrow(len(self.said.sources))

    async def lacks(self, what: str) -> None:
        """From now on the answer is made without `what`."""
        if what not in self.degraded:
            await self._note(replace(self.record, degraded=(*self.degraded, what)))

    async def waits(self, position: int, eta_s: float, eta_high_s: float) -> None:
        """Tell the reader's place in the queue."""
        await self.emit(Queue(position, eta_s, eta_high_s))

    def assigned(self, waited_s: float) -> None:
        """A slot is there, after so long."""
        if self.queue_s is None:
            self.queue_s = waited_s
            self.metrics.queue_wait(waited_s)

    def narrow(self, passages: int) -> None:
        """From now on the answer is made from the first `passages` sources."""
        self.usable = self.citations.sources = passages

    async def say(self, text: str) -> None:
        """Text of the answer, as a model gave it."""
        if shown := self.citations.feed(text):
            await self._say(shown)

    async def rest(self) -> None:
        """No more text comes: say what was held back."""
        if shown := self.citations.rest():
            await self._say(shown)

    async def think(self, text: str) -> None:
        """Text of the reasoning."""
        if self.first_token_s is None:
            self._spoke()
        await self.emit(Thinking(text))

    async def take_back_as_thought(self) -> None:
        """What was shown as the answer was reasoning; it is shown as such."""
        said = self.said.answer + self.citations.rest()
        self.citations = CitationFilter(self.usable)
        await self.emit(Replace("answer", "", "this was reasoning"))
        await self.think(said)

    async def withdraw(self, reason: str) -> None:
        """Take back all that was said; sources stay."""
        if self.said.thoughts:
            await self.emit(Replace("thinking", "", reason))
        if self.said.pieces:
            await self.emit(Replace("answer", "", reason))
        self.citations = CitationFilter(self.usable)

    async def emit(self, event: LogEvent) -> None:
        """Write an event; said is what the log has taken."""
        await self.writer.append([event])
        self.said.add(event)

    async def _say(self, text: str) -> None:
        if self.first_token_s is None:
            self._spoke()
        await self.emit(Delta(text))

    def _spoke(self) -> None:
        self.first_token_s = self.elapsed_s()
        self.metrics.first_token(self.record.variant.model, self.first_token_s)

    async def _note(self, record: RequestRecord) -> None:
        await self.writer.note(record)
        self.record = record


def source_of(n: int, scored: Scored) -> Source:
    """A passage as the reader is shown it, with the number that cites it."""
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
        lead=passage.lead,
    )
