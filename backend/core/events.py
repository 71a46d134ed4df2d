"""What a reader sees of a run: started, sources, queue*, thinking*, delta*, replace*, then done or error.

`started` is composed for each run from the log's first entry, the `Origin`; all else is logged as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from backend.core.types import CacheState, FinishReason, Usage


@dataclass(frozen=True, slots=True)
class Started:
    """First event of a run."""

    name: ClassVar[str] = "started"
    run_id: str
    conversation_id: str
    model: str
    variant: str
    cache: CacheState


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an answer comes from: the first entry of its log, the same for all who follow it."""

    name: ClassVar[str] = "origin"
    cache: CacheState
    model: str
    variant: str


@dataclass(frozen=True, slots=True)
class Queue:
    """The run waits for a slot.

    Attributes:
        position: 1 is next.
        eta_s: Lower end of the expected wait, in seconds; `eta_high_s` the upper end.
    """

    name: ClassVar[str] = "queue"
    position: int
    eta_s: float
    eta_high_s: float


@dataclass(frozen=True, slots=True)
class Source:
    """One numbered passage the answer may cite as `[n]`.

    `start` and `end` are offsets in the extracted text of `revision`, in characters. `lead` is what stands
    above and gives the passage its meaning: of a table that was cut, its caption and the names of columns.
    """

    n: int
    document: str
    title: str
    page: int | None
    score: float
    revision: str
    passage: str
    name: str
    heading: str
    start: int
    end: int
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """The passages the answer is built on; empty when nothing bears on the question.

    `degraded` names what was missing when they were found: "dense", "lexical".
    """

    name: ClassVar[str] = "sources"
    sources: tuple[Source, ...]
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Thinking:
    """Text of the model's reasoning, to append."""

    name: ClassVar[str] = "thinking"
    text: str


@dataclass(frozen=True, slots=True)
class Delta:
    """Text of the answer, to append."""

    name: ClassVar[str] = "delta"
    text: str


@dataclass(frozen=True, slots=True)
class Replace:
    """All text of one channel so far is withdrawn; `text` stands in its place."""

    name: ClassVar[str] = "replace"
    channel: Literal["answer", "thinking"]
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds from the start of the run; None where the stage did not happen."""

    queue_s: float | None = None
    retrieval_s: float | None = None
    first_token_s: float | None = None
    total_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is whole.

    Attributes:
        finish_reason: stop, length, stopped (by the reader) or no_answer.
        citations: Numbers of the sources that the answer cites, ascending.
        degraded: What was missing: "model" (answered by quoting), "dense", "lexical",
            "history" (the turn, or those before it, may be missing from the conversation).
    """

    name: ClassVar[str] = "done"
    finish_reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    citations: tuple[int, ...] = ()
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The run ended without a whole answer; text already shown stays."""

    name: ClassVar[str] = "error"
    code: str
    message: str
    retryable: bool
    retry_after_s: float | None = None


LogEvent = Origin | Queue | Sources | Thinking | Delta | Replace | Done | Failed
Event = Started | LogEvent
Terminal = Done | Failed
