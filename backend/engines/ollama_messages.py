"""What the lines of a streamed `/api/chat` say."""

from __future__ import annotations

from typing import Any

import orjson

from backend.core.errors import (
    EngineError,
    EngineRejected,
    EngineTruncated,
    EngineUnreachable,
    ModelMissing,
)
from backend.core.types import Usage
from backend.engines.base import End, Text, Thought
from backend.engines.call import NOT_FOUND
from backend.engines.overflow import overflow

_CANNOT_THINK = "does not support thinking"
_PASSING = (408, 425, 429, 499)
_NS = 1e9


class CannotThink(EngineRejected):
    """The model has no thinking to switch on."""


class MessageReader:
    """Reads lines one after the other.

    Attributes:
        end: The engine's last word; None until it has come.
    """

    def __init__(self) -> None:
        self.end: End | None = None
        self._answered = False
        self._called = False

    def read(self, line: bytes) -> list[Text | Thought]:
        """The pieces in one line.

        Raises:
            EngineError: The server reports an error, sends what is no message, or asked for a tool and said
                nothing. (No tool is offered; beside an answer the call is left out.)
            EngineTruncated: The last line of what is no answer.
        """
        whole = _object(line)
        message = whole.get("message")
        if not isinstance(message, dict):
            raise EngineError("the model server sent a line that cannot be read")
        pieces: list[Text | Thought] = []
        if thought := message.get("thinking"):
            pieces.append(Thought(_string(thought)))
        if text := message.get("content"):
            pieces.append(Text(_string(text)))
            self._answered = True
        if "tool_calls" in message:
            self._called = True
        if whole.get("done"):
            self.end = self._ended(whole)
        return pieces

    def _ended(self, line: dict[str, Any]) -> End:
        reason = line.get("done_reason")
        if reason not in ("stop", "length"):
            raise EngineTruncated("the model server ended without an answer")
        if self._called and not self._answered:
            raise EngineError("the model asked for a tool instead of answering")
        return End(reason, _usage(line))


def refused(status: int, body: object) -> EngineError:
    """The error that a status other than 200 means, with the JSON that came with it, if any."""
    said = str(body.get("error", "")) if isinstance(body, dict) else ""
    if too_long := overflow(body):
        return too_long
    if _CANNOT_THINK in said:
        return CannotThink("the model does not support thinking")
    if status == NOT_FOUND:
        return ModelMissing("the model server does not have this model")
    if status >= 500 or status in _PASSING:
        return EngineUnreachable("the model server cannot serve now")
    return EngineRejected("the model server refused the request")


def _object(line: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise EngineError("the model server sent what is no JSON") from exc
    if not isinstance(message, dict):
        raise EngineError("the model server sent a line that cannot be read")
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
