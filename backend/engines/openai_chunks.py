"""What the chunks of a streamed chat completion say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from backend.core.errors import (
    EngineError,
    EngineRejected,
    EngineTruncated,
    EngineUnreachable,
    ModelMissing,
)
from backend.core.types import FinishReason, Usage
from backend.engines.base import End, Text, Thought
from backend.engines.dialects import Dialect
from backend.engines.overflow import overflow
from backend.engines.thinking import ThinkTags

_DONE = b"[DONE]"
_FINISHED: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
_NOT_FOUND = 404
_PASSING = (408, 425, 429)


class ChunkReader:
    """Reads the data of events one after the other.

    Attributes:
        done: Nothing more is to come that matters.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.done = False
        self._dialect = dialect
        self._tags = ThinkTags() if dialect.inline_thinking else None
        self._finish: FinishReason | None = None
        self._usage = Usage()

    @property
    def finished(self) -> bool:
        """The server has given a good finish reason; token counts may still come."""
        return self._finish is not None

    def read(self, data: bytes) -> list[Text | Thought]:
        """The pieces in one event.

        Raises:
            EngineError: The server reports an error, or sends what is no chunk.
            EngineTruncated: The server says that it gave up.
        """
        if data == _DONE:
            self.done = True
            return []
        chunk = _object(data)
        if chunk.get("error") or chunk.get("object") == "error":
            raise reported(chunk)
        self._count(chunk)
        pieces: list[Text | Thought] = []
        try:
            for choice in chunk.get("choices") or ():
                pieces += self._delta(choice.get("delta") or {})
                self._end(choice.get("finish_reason"))
        except (AttributeError, TypeError) as exc:
            raise EngineError("the model server sent a chunk that cannot be read") from exc
        return pieces

    def end(self) -> tuple[list[Text | Thought], End]:
        """What was held back, and the end.

        Raises:
            EngineTruncated: The stream is over and no finish reason came.
        """
        if self._finish is None:
            raise EngineTruncated("the model server stopped before the end")
        return self._tags.flush() if self._tags else [], End(self._finish, self._usage)

    def _delta(self, delta: dict[str, Any]) -> list[Text | Thought]:
        pieces: list[Text | Thought] = []
        for name in self._dialect.reasoning:
            if thought := delta.get(name):
                pieces.append(Thought(_string(thought)))
                break
        if content := delta.get("content"):
            text = _string(content)
            pieces += self._tags.feed(text) if self._tags else [Text(text)]
        return pieces

    def _end(self, reason: object) -> None:
        if not reason:
            return
        if reason == "abort":
            raise EngineTruncated("the model server gave up")
        if reason not in _FINISHED:
            raise EngineError("the model server ended in a way that was not asked for")
        self._finish = _FINISHED[str(reason)]
        self.done = not (self._dialect.sends_done or self._dialect.include_usage)

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


def refused(status: int, body: object) -> EngineError:
    """The error that an HTTP status other than 200 means, with the JSON that came with it, if any."""
    if too_long := overflow(body):
        return too_long
    if status == _NOT_FOUND:
        return ModelMissing("the model server does not have this model")
    if status >= 500 or status in _PASSING:
        return EngineUnreachable("the model server cannot serve now")
    return EngineRejected("the model server refused the request")


def _object(data: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise EngineError("the model server sent what is no JSON") from exc
    if not isinstance(chunk, dict):
        raise EngineError("the model server sent a chunk that cannot be read")
    return chunk


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text is expected")
    return value


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None
