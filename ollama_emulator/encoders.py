"""How a generation's pieces are written: one encoder for each dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ollama_emulator.clock import Stamps
from ollama_emulator.wire import JSON, NDJSON, Outcome, error_body, go_json, token_json


class Encoder(Protocol):
    """The dialect of one request."""

    stream_type: str
    whole_type: str

    def piece(self, is_thinking: bool, text: str) -> bytes:
        """An object with some text."""

    def tools(self, calls: Sequence[Mapping[str, Any]]) -> bytes:
        """An object with tool calls, sent before the last."""

    def final(self, outcome: Outcome) -> list[bytes]:
        """What comes after the last token; its own write each."""

    def error_line(self, message: str) -> bytes:
        """An error after the first object."""

    def error(self, status: int, message: str) -> bytes:
        """The body of an error before the first object."""

    def whole(self, outcome: Outcome) -> bytes:
        """The body of a response that is not streamed."""


class ChatEncoder:
    """`/api/chat`."""

    stream_type = NDJSON
    whole_type = JSON

    def __init__(self, model: str, stamps: Stamps) -> None:
        self._model, self._stamps = model, stamps
        self._before = b'{"model":' + go_json(model) + b',"created_at":"'
        self._content = b'","message":{"role":"assistant","content":'
        self._thinking = b'","message":{"role":"assistant","content":"","thinking":'

    def piece(self, is_thinking: bool, text: str) -> bytes:
        key = self._thinking if is_thinking else self._content
        return self._before + self._stamps.now().encode() + key + token_json(text) + b'},"done":false}\n'

    def tools(self, calls: Sequence[Mapping[str, Any]]) -> bytes:
        message = {"role": "assistant", "content": "", "tool_calls": calls}
        return go_json(self._head() | {"message": message, "done": False}) + b"\n"

    def final(self, outcome: Outcome) -> list[bytes]:
        last = Outcome(outcome.done, outcome.reason, metrics=outcome.metrics)
        last.tool_calls = [] if outcome.tools_sent else outcome.tool_calls
        return [self.whole(last) + b"\n"]

    def error_line(self, message: str) -> bytes:
        return error_body(message) + b"\n"

    def error(self, status: int, message: str) -> bytes:
        return error_body(message)

    def whole(self, outcome: Outcome) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": outcome.content}
        if outcome.thinking:
            message["thinking"] = outcome.thinking
        if outcome.tool_calls:
            message["tool_calls"] = outcome.tool_calls
        return go_json(self._head() | {"message": message} | ending(outcome))

    def _head(self) -> dict[str, Any]:
        return {"model": self._model, "created_at": self._stamps.now()}


class GenerateEncoder(ChatEncoder):
    """`/api/generate`."""

    def __init__(self, model: str, stamps: Stamps) -> None:
        super().__init__(model, stamps)
        self._response = b'","response":'

    def piece(self, is_thinking: bool, text: str) -> bytes:
        said = b'"","thinking":' + token_json(text) if is_thinking else token_json(text)
        return self._before + self._stamps.now().encode() + self._response + said + b',"done":false}\n'

    def final(self, outcome: Outcome) -> list[bytes]:
        last = Outcome(outcome.done, outcome.reason, metrics=outcome.metrics, context=outcome.context)
        return [self.whole(last) + b"\n"]

    def whole(self, outcome: Outcome) -> bytes:
        body = self._head() | {"response": outcome.content}
        if outcome.thinking:
            body["thinking"] = outcome.thinking
        end = ending(outcome)
        metrics = {name: end.pop(name) for name in list(end) if name not in ("done", "done_reason")}
        if outcome.context:
            end["context"] = outcome.context
        return go_json(body | end | metrics)


def ending(outcome: Outcome) -> dict[str, Any]:
    """`done`, its reason and the metrics."""
    end: dict[str, Any] = {"done": outcome.done}
    if outcome.reason and outcome.done:
        end["done_reason"] = outcome.reason
    return end | outcome.metrics.fields()
