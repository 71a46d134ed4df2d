"""Events folded into the answer they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.core.events import Delta, Failed, Replace, Source, Sources, Terminal, Thinking
from backend.generations.base import Entry
from backend.history.base import TurnState


@dataclass(frozen=True, slots=True)
class Followed:
    """A stretch of a run's events.

    Attributes:
        entries: Log entries, in order; empty: still alive, nothing new.
        end: Set once, when the run ended by itself while its generation goes on for others.
    """

    entries: Sequence[Entry]
    end: Terminal | None = None


@dataclass(slots=True)
class Transcript:
    """What a reader has on the screen after the events added so far."""

    sources: tuple[Source, ...] = ()
    degraded: tuple[str, ...] = ()
    terminal: Terminal | None = None
    _answer: list[str] = field(default_factory=list)
    _thinking: list[str] = field(default_factory=list)

    @property
    def answer(self) -> str:
        """Text of the answer."""
        return "".join(self._answer)

    @property
    def thinking(self) -> str:
        """Text of the reasoning."""
        return "".join(self._thinking)

    def add(self, stretch: Followed) -> None:
        """Apply a stretch of events, in order."""
        for entry in stretch.entries:
            match entry.event:
                case Delta(text):
                    self._answer.append(text)
                case Thinking(text):
                    self._thinking.append(text)
                case Replace("answer", text):
                    self._answer = [text]
                case Replace("thinking", text):
                    self._thinking = [text]
                case Sources(sources, degraded):
                    self.sources, self.degraded = sources, degraded
                case event if isinstance(event, Terminal):
                    self.terminal = event
        self.terminal = stretch.end or self.terminal


def state_of(terminal: Terminal) -> TurnState:
    """The state of a turn that ended so."""
    if isinstance(terminal, Failed):
        return "failed"
    return "stopped" if terminal.finish_reason == "stopped" else "done"
