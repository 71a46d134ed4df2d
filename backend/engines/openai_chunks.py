"""What the chunks of a streamed chat completion say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backend.core.errors import EngineError, EngineTruncated
from backend.core.types import FinishReason, Usage
from backend.engines.base import End, Text, Thought, Told
from backend.engines.dialects import Dialect
from backend.engines.lenient import an_object
from backend.engines.overflow import overflow
from backend.engines.reasoning import ReasoningFilter
from backend.engines.refusal import Refusal, error_of

_DONE = b"[DONE]"
_MET_BOUND = ("length", "max_tokens", "max_length", "model_length")
_GAVE_UP = ("abort", "aborted", "cancelled", "canceled", "insufficient_system_resource")
_FAILED = ("error", "network_error")
_TOOL_CALLS = ("tool_calls", "function_call", "tool_use")


class ChunkReader:
    """Reads the data of events one after the other.

    Attributes:
        done: Nothing more is to come that matters.
        heard: Pieces of text that came, held back or not.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.done = False
        self.heard = 0
        self._dialect = dialect
        self._reasoning = ReasoningFilter()
        self._answered = False
        self._finish: FinishReason | None = None
        self._usage = Usage()

    @property
    def finished(self) -> bool:
        """The server has given a good finish reason; token counts may still come."""
        return self._finish is not None

    def read(self, data: bytes) -> list[Told]:
        """The pieces in one event.

        Raises:
            EngineError: The server reports an error, or sends what is no chunk.
            EngineTruncated: The server says that it gave up.
        """
        if data == _DONE:
            self.done = True
            return []
        chunk = an_object(data)
        if chunk.get("error") or chunk.get("object") == "error":
            raise reported(chunk)
        self._count(chunk)
        pieces: list[Told] = []
        try:
            for choice in chunk.get("choices") or ():
                pieces += self._delta(choice.get("delta") or {})
                pieces += self._end(choice.get("finish_reason"))
        except (AttributeError, TypeError) as exc:
            raise EngineError("the model server sent a chunk that cannot be read") from exc
        return pieces

    def end(self) -> End:
        """The engine's last word.

        Raises:
            EngineTruncated: The stream is over and no finish reason came.
        """
        if self._finish is None:
            raise EngineTruncated("the model server stopped before the end")
        return End(self._finish, self._usage)

    def _delta(self, delta: dict[str, Any]) -> list[Told]:
        pieces: list[Told] = []
        for name in self._dialect.reasoning:
            if (thought := delta.get(name)) and isinstance(thought, str):
                pieces.append(Thought(thought))
                self.heard += 1
                break
        for part in _parts(delta.get("content")):
            pieces += self._reasoning.feed(part.text) if isinstance(part, Text) else [part]
            self._answered = self._answered or isinstance(part, Text)
            self.heard += 1
        return pieces

    def _end(self, reason: object) -> list[Told]:
        """What was held back comes with the finish reason.

        A reason that is not known (`content_filter`, `eos_token`) ends what has been said well.
        """
        if not reason:
            return []
        if reason in _GAVE_UP:
            raise EngineTruncated("the model server gave up")
        if reason in _FAILED:
            raise EngineError("the model server reported an error")
        if reason in _TOOL_CALLS and not self._answered:
            raise EngineError("the model asked for a tool instead of answering")
        self._finish = "length" if reason in _MET_BOUND else "stop"
        self.done = not (self._dialect.sends_done or self._dialect.include_usage)
        return self._reasoning.flush(cut=self._finish == "length")

    def _count(self, chunk: dict[str, Any]) -> None:
        """Counts come in a chunk of their own, or with the last; llama.cpp tells how long it took as well."""
        usage, timings = chunk.get("usage"), chunk.get("timings")
        if isinstance(usage, dict):
            counted = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
            self._usage = replace(self._usage, prompt_tokens=counted[0], completion_tokens=counted[1])
        if isinstance(timings, dict):
            took_s = _seconds(timings.get("prompt_ms")), _seconds(timings.get("predicted_ms"))
            self._usage = replace(self._usage, prompt_s=took_s[0], completion_s=took_s[1])


def reported(body: dict[str, Any]) -> EngineError:
    """The error that a server's JSON reports."""
    return overflow(body) or EngineError("the model server reported an error")


def refused(refusal: Refusal) -> EngineError:
    """The error that an HTTP status other than 200 means."""
    return overflow(refusal.body) or error_of(refusal)


def _parts(content: object) -> list[Text | Thought]:
    """Content as servers send it: text, or a list of parts, some of which may be reasoning."""
    if not content:
        return []
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise TypeError("text is expected")
    parts: list[Text | Thought] = []
    for part in content:
        if "thinking" in part:
            parts += [Thought(inner.text) for inner in _parts(part["thinking"])]
        elif part.get("text"):
            parts += _parts(part["text"])
    return parts


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None
