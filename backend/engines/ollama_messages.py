"""What the lines of a streamed `/api/chat` say."""

from __future__ import annotations

from typing import Any

from backend.core.errors import EngineError, EngineRejected, EngineTruncated
from backend.core.types import FinishReason, Usage
from backend.engines.base import End, Thought, Told
from backend.engines.lenient import an_object
from backend.engines.overflow import overflow
from backend.engines.reasoning import ReasoningFilter
from backend.engines.refusal import Refusal, error_of
from backend.engines.refusal import refused as server_refuses

_CANNOT_THINK = "does not support thinking"
_FORBIDDEN = 403
_WRONG_HOST = (
    "Ollama refuses this host name (403): set OLLAMA_HOST=0.0.0.0 where it runs, "
    "or use its address in OLLAMA_URLS"
)
_NO_ANSWER = ("load", "unload", "error", "cancelled", "canceled", "abort", "aborted")
_NS = 1e9


class CannotThink(EngineRejected):
    """The model has no thinking to switch on."""


class MessageReader:
    """Reads lines one after the other.

    Attributes:
        end: The engine's last word; None until it has come.
        heard: Pieces of text that came, held back or not.
    """

    def __init__(self) -> None:
        self.end: End | None = None
        self.heard = 0
        self._reasoning = ReasoningFilter()
        self._answered = False
        self._called = False

    def read(self, line: bytes) -> list[Told]:
        """The pieces in one line.

        Raises:
            EngineError: The server reports an error, sends what is no message, or asked for a tool and said
                nothing. (No tool is offered; beside an answer the call is left out.)
            EngineTruncated: The last line of what is no answer.
        """
        whole = _object(line)
        message = whole.get("message") or {}
        if not isinstance(message, dict):
            raise EngineError("the model server sent a line that cannot be read")
        pieces: list[Told] = []
        if thought := message.get("thinking"):
            pieces.append(Thought(_string(thought)))
            self.heard += 1
        if text := message.get("content"):
            pieces += self._reasoning.feed(_string(text))
            self._answered = True
            self.heard += 1
        if message.get("tool_calls"):
            self._called = True
        if whole.get("done"):
            self.end = self._ended(whole)
            pieces += self._reasoning.flush(cut=self.end.finish_reason == "length")
        elif "message" not in whole:
            raise EngineError("the model server sent a line that cannot be read")
        return pieces

    def _ended(self, line: dict[str, Any]) -> End:
        """A reason that is not known, or none, as old servers end, ends what has been said well."""
        reason = line.get("done_reason")
        if reason in _NO_ANSWER:
            raise EngineTruncated("the model server ended without an answer")
        if self._called and not self._answered:
            raise EngineError("the model asked for a tool instead of answering")
        finish: FinishReason = "length" if reason == "length" else "stop"
        return End(finish, _usage(line))


def refused(refusal: Refusal) -> EngineError:
    """The error that a status other than 200 means."""
    if too_long := overflow(refusal.body):
        return too_long
    said = refusal.said
    if _CANNOT_THINK in said:
        return CannotThink("the model does not support thinking")
    if refusal.status == _FORBIDDEN and not refusal.text:
        return server_refuses(_WRONG_HOST)
    return error_of(refusal)


def _object(line: bytes) -> dict[str, Any]:
    message = an_object(line)
    if "error" in message:
        raise EngineError("the model server failed while it answered")
    return message


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise EngineError("the model server sent a line that cannot be read")
    return value


def _usage(line: dict[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=_count(line, "prompt_eval_count"),
        completion_tokens=_count(line, "eval_count"),
        load_s=_seconds(line, "load_duration"),
        prompt_s=_seconds(line, "prompt_eval_duration"),
        completion_s=_seconds(line, "eval_duration"),
    )


def _count(line: dict[str, Any], name: str) -> int | None:
    value = line.get(name)
    return value if isinstance(value, int) else None


def _seconds(line: dict[str, Any], name: str) -> float | None:
    nanoseconds = _count(line, name)
    return None if nanoseconds is None else nanoseconds / _NS
