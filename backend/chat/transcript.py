"""Events folded into the answer they make: for a reader, for the history, and for whoever goes on with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from backend.chat.citations import cited
from backend.core.events import (
    Delta,
    Done,
    Event,
    Failed,
    Origin,
    Replace,
    Source,
    Sources,
    Started,
    Terminal,
    Thinking,
)
from backend.core.text import is_visible
from backend.history.base import TurnState


@dataclass(slots=True)
class Transcript:
    """What a reader has on the screen after the events added so far.

    Attributes:
        found: The sources; None until they are shown.
        pieces: Of the answer, as they came; `thoughts`: of the reasoning.
    """

    started: Started | None = None
    origin: Origin | None = None
    found: tuple[Source, ...] | None = None
    degraded: tuple[str, ...] = ()
    terminal: Terminal | None = None
    pieces: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, events: Iterable[Event]) -> Transcript:
        """All of these, in order."""
        transcript = cls()
        for event in events:
            transcript.add(event)
        return transcript

    @property
    def answer(self) -> str:
        """Text of the answer."""
        return "".join(self.pieces)

    @property
    def thinking(self) -> str:
        """Text of the reasoning."""
        return "".join(self.thoughts)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources shown."""
        return self.found or ()

    @property
    def citations(self) -> tuple[int, ...]:
        """Numbers of the sources cited, ascending; as far as was said where the answer broke off."""
        if isinstance(self.terminal, Done):
            return self.terminal.citations
        return cited(self.answer, len(self.sources))

    @property
    def state(self) -> TurnState:
        """The state of a turn that ended so; without an end of its log, its reader stopped it."""
        if isinstance(self.terminal, Failed):
            return "failed"
        ended = self.terminal is not None and self.terminal.finish_reason != "stopped"
        return "done" if ended else "stopped"

    def has_answer(self) -> bool:
        """Whether anything was said that a reader can see."""
        return any(map(is_visible, self.pieces))

    def add(self, event: Event) -> None:
        """What comes next."""
        if isinstance(event, Delta):  # nearly all that comes
            self.pieces.append(event.text)
            return
        match event:
            case Thinking(text):
                self.thoughts.append(text)
            case Replace("answer", text):
                self.pieces = [text] if text else []
            case Replace("thinking", text):
                self.thoughts = [text] if text else []
            case Sources(sources, degraded):
                self.found, self.degraded = sources, degraded
            case Origin():
                self.origin = event
            case Started():
                self.started = event
            case Done(degraded=degraded):
                self.terminal, self.degraded = event, degraded
            case Failed():
                self.terminal = event
