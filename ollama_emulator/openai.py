"""`/v1`: the native answers in OpenAI's dialect, with the real server's losses in translation."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ollama_emulator.call import Call, Refused
from ollama_emulator.clock import Stamps
from ollama_emulator.embed import embedded
from ollama_emulator.generate import hash_of, run
from ollama_emulator.models import Model
from ollama_emulator.native import chat_job, generate_job
from ollama_emulator.requests import OPENAI_CHAT, OPENAI_COMPLETION, OPENAI_EMBED
from ollama_emulator.wire import BARE_JSON, SSE, Outcome, go_json

FINGERPRINT = "fp_ollama"
_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
_EFFORTS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}
_OPTIONS = {"max_tokens": "num_predict", "max_completion_tokens": "num_predict"}
_SAME = ("seed", "frequency_penalty", "presence_penalty", "temperature", "top_p")


async def models(call: Call) -> None:
    _reply(call, {"object": "list", "data": [_model(call, m, m.name) for m in call.instance.table.all()]})


async def model(call: Call) -> None:
    name = call.exchange.request.path.removeprefix("/v1/models/")
    _reply(call, _model(call, call.model(name), name))


async def chat(call: Call) -> None:
    body = call.body(OPENAI_CHAT, missing="EOF")
    if not body.get("messages"):
        raise Refused(400, "[] is too short - 'messages'", early=True)
    messages = [_message(m or {}) for m in body["messages"]]
    asked = _native(body)
    found = call.model(body.get("model"))
    await run(call, chat_job(call, found, asked, messages), ChatChunks(body, call.instance.stamps))


async def completions(call: Call) -> None:
    body = call.body(OPENAI_COMPLETION, missing="EOF")
    found = call.model(body.get("model"), (404, "model '' not found"))
    job = generate_job(call, found, _native(body), str(body.get("prompt") or ""))
    job.context_ids = None
    await run(call, job, CompletionChunks(body, call.instance.stamps))


async def embeddings(call: Call) -> None:
    body = call.body(OPENAI_EMBED, missing="EOF")
    vectors, metrics = await embedded(call, body)
    as_text = str(body.get("encoding_format", "")).lower() == "base64"
    rows = [
        {
            "object": "embedding",
            "embedding": base64.b64encode(row.tobytes()).decode() if as_text else row,
            "index": index,
        }
        for index, row in enumerate(vectors)
    ]
    usage = {"prompt_tokens": metrics.prompt_tokens, "total_tokens": metrics.prompt_tokens}
    _reply(call, {"object": "list", "data": rows, "model": body["model"], "usage": usage})


def _reply(call: Call, value: Any) -> None:
    call.whole(go_json(value), BARE_JSON)


def error(refused: Refused) -> bytes:
    """The body of an error before the first chunk."""
    return _error(refused.status, refused.message)


class ChatChunks:
    """An `Encoder` for chat completions."""

    stream_type = SSE
    whole_type = BARE_JSON
    _kind, _whole_kind = "chat.completion.chunk", "chat.completion"

    def __init__(self, body: Mapping[str, Any], stamps: Stamps) -> None:
        self._model, self._stamps = str(body.get("model", "")), stamps
        self._id = f"chatcmpl-{hash_of(repr(body.get('messages') or body.get('prompt'))) % 999}"
        options = body.get("stream_options")
        self._with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        self._first = True

    def piece(self, is_thinking: bool, text: str) -> bytes:
        delta: dict[str, Any] = {"content": "", "reasoning": text} if is_thinking else {"content": text}
        return self._chunk(self._role() | delta)

    def tools(self, calls: Sequence[Mapping[str, Any]]) -> bytes:
        return self._chunk(self._role() | {"content": "", "tool_calls": _tool_calls(calls)})

    def final(self, outcome: Outcome) -> list[bytes]:
        sent = []
        if outcome.tool_calls and not outcome.tools_sent:
            sent.append(self.tools(outcome.tool_calls))
        sent.append(self._chunk({}, self._reason(outcome)))
        if self._with_usage:
            body = self._head(self._kind) | {"choices": [], "usage": _usage(outcome)}
            sent.append(_event(go_json(body)))
        return [*sent, _event(b"[DONE]")]

    def error_line(self, message: str) -> bytes:
        """The message is lost: the translation sees a chat object without model, time or text."""
        head = self._head(self._kind) | {"created": -62_135_596_800, "model": ""}
        return _event(go_json(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": None}]}))

    def error(self, status: int, message: str) -> bytes:
        return _error(status, message)

    def whole(self, outcome: Outcome) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": outcome.content}
        if outcome.thinking:
            message["reasoning"] = outcome.thinking
        if outcome.tool_calls:
            message["tool_calls"] = _tool_calls(outcome.tool_calls)
        choice = {"index": 0, "message": message, "finish_reason": self._reason(outcome)}
        return go_json(self._head(self._whole_kind) | {"choices": [choice], "usage": _usage(outcome)})

    def _reason(self, outcome: Outcome) -> str | None:
        if outcome.tool_calls:
            return "tool_calls"
        return (outcome.reason or None) if outcome.done else None

    def _role(self) -> dict[str, Any]:
        first, self._first = self._first, False
        return {"role": "assistant"} if first else {}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _event(go_json(self._head(self._kind) | {"choices": [choice]}))

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._stamps.epoch_s(),
            "model": self._model,
            "system_fingerprint": FINGERPRINT,
        }


class CompletionChunks(ChatChunks):
    """An `Encoder` for the older text completions."""

    _kind = _whole_kind = "text_completion"

    def __init__(self, body: Mapping[str, Any], stamps: Stamps) -> None:
        super().__init__(body, stamps)
        self._id = self._id.replace("chatcmpl-", "cmpl-")

    def piece(self, is_thinking: bool, text: str) -> bytes:
        return self._text("" if is_thinking else text)

    def final(self, outcome: Outcome) -> list[bytes]:
        sent = [self._text("", self._reason(outcome))]
        if self._with_usage:
            sent.append(_event(go_json(self._head(self._kind) | {"choices": [], "usage": _usage(outcome)})))
        return [*sent, _event(b"[DONE]")]

    def whole(self, outcome: Outcome) -> bytes:
        choice = {"text": outcome.content, "index": 0, "finish_reason": self._reason(outcome)}
        return go_json(self._head(self._whole_kind) | {"choices": [choice], "usage": _usage(outcome)})

    def _text(self, text: str, reason: str | None = None) -> bytes:
        choice = {"text": text, "index": 0, "finish_reason": reason}
        return _event(go_json(self._head(self._kind) | {"choices": [choice]}))


def _native(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request in native terms; temperature and top_p are set to 1 where the caller is silent."""
    options: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0}
    options |= {ours: body[theirs] for theirs, ours in _OPTIONS.items() if body.get(theirs) is not None}
    options |= {name: body[name] for name in _SAME if body.get(name) is not None}
    stop = body.get("stop")
    if stop:
        options["stop"] = [stop] if isinstance(stop, str) else stop
    native: dict[str, Any] = {
        "model": body.get("model"),
        "stream": bool(body.get("stream")),
        "options": options,
        "tools": body.get("tools"),
        "suffix": body.get("suffix"),
    }
    kind = (body.get("response_format") or {}).get("type")
    if kind in ("json_object", "json_schema"):
        native["format"] = "json"
    effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
    if effort is not None:
        if effort not in _EFFORTS:
            known = ", ".join(f'"{name}"' for name in _EFFORTS)
            raise Refused(400, f"invalid reasoning value: '{effort}' (must be {known})", early=True)
        native["think"] = _EFFORTS[effort]
    return native


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text", "") for part in content if part.get("type") == "text"]
        images = [part for part in content if part.get("type") == "image_url"]
        return {**message, "content": "".join(texts), "images": images}
    if content is not None and not isinstance(content, str):
        raise Refused(400, f"invalid message content type: {type(content).__name__}", early=True)
    return dict(message)


def _tool_calls(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": call["id"],
            "index": call["function"]["index"],
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": orjson.dumps(call["function"]["arguments"]).decode(),
            },
        }
        for call in calls
    ]


def _usage(outcome: Outcome) -> dict[str, int]:
    prompt, completion = outcome.metrics.prompt_tokens, outcome.metrics.tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _error(status: int, message: str) -> bytes:
    kind = _TYPES.get(status, "api_error")
    return go_json({"error": {"message": message, "type": kind, "param": None, "code": None}})


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _model(call: Call, listed: Model, name: str) -> dict[str, Any]:
    created = call.instance.stamps.epoch_s() - int(call.instance.clock.now() - listed.modified_s)
    return {"id": name, "object": "model", "created": created, "owned_by": "library"}
