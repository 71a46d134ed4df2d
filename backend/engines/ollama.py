"""Ollama, by its native `/api/chat`: its OpenAI face loses errors in mid-stream and cannot set the context.

Source: docs/adr/0009.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

import aiohttp
import orjson

from backend.core.errors import (
    ContextOverflow,
    EngineError,
    EngineRejected,
    EngineTruncated,
    EngineUnreachable,
    ModelMissing,
)
from backend.core.types import Usage
from backend.engines.base import (
    End,
    Endpoint,
    GenerationRequest,
    LoadedModel,
    ModelInfo,
    Piece,
    Text,
    Thought,
)
from backend.engines.call import NOT_FOUND, Caller, Patience, joined, read
from backend.engines.lines import LineParser
from backend.engines.listing import of_tags
from backend.engines.ollama_control import OllamaControl
from backend.engines.resume import resume

_OVERFLOWS = ("exceed_context_size", "exceeds the context length", "exceeds the available context")
_CANNOT_THINK = "does not support thinking"
_NS = 1e9


class CannotThink(EngineRejected):
    """The model has no thinking to switch on."""


class OllamaEngine:
    """Speaks `/api/chat`, always streamed.

    `num_ctx` and `keep_alive` are the same in every request: Ollama reloads a model when `num_ctx` changes.
    A prompt that does not fit is refused (`truncate: false`) instead of being cut in silence.

    Args:
        session: Has no time limit of its own, as `infra.http.open_session` makes it.
        context_tokens: `num_ctx`.
        keep_alive: How long a model stays loaded, as Ollama writes it ("30m", "-1").
        control: Tells what is loaded.
    """

    name = "ollama"

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        context_tokens: int,
        keep_alive: str = "30m",
        control: OllamaControl | None = None,
    ) -> None:
        self._control = control or OllamaControl()
        self._caller = Caller(session, refused)
        self._context_tokens = context_tokens
        self._keep_alive = keep_alive

    def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Pieces as they come; those that came in one read are joined."""
        ask = partial(self._ask, endpoint)
        return resume(ask, request) if request.partial else ask(request)

    async def _ask(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        try:
            async with aclosing(self._generate(endpoint, request)) as pieces:
                async for piece in pieces:
                    yield piece
        except CannotThink:
            plain = replace(request, sampling=replace(request.sampling, thinking=False))
            async with aclosing(self._generate(endpoint, plain)) as pieces:
                async for piece in pieces:
                    yield piece

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """What `/api/tags` lists, embedding models left out.

        Not by the `ollama` package: it drops what each can do, and `show` would be a call for each.
        """
        return of_tags(await self._caller.json("GET", endpoint, "/api/tags"))

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """What `/api/ps` lists."""
        return await self._control.ps(endpoint)

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        """A request without messages loads the model, with the context that every request has."""
        options = {"num_ctx": self._context_tokens}
        body = {"model": model, "messages": [], "keep_alive": self._keep_alive, "options": options}
        await self._caller.json("POST", endpoint, "/api/chat", body=orjson.dumps(body), within_s=within_s)

    async def _generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        lines, patience = LineParser(), Patience(request.bounds.first_token_s)
        body = orjson.dumps(self._body(request))
        begun = False
        async with self._caller.open("POST", endpoint, "/api/chat", request.bounds, patience, body) as answer:
            while data := await read(answer, patience, begun=begun):
                pieces: list[Text | Thought] = []
                end: End | None = None
                for line in lines.feed(data):
                    message = _object(line)
                    pieces += _said(message)
                    if message.get("done"):
                        end = _end(message)
                        break
                if pieces:
                    patience.renew(request.bounds.gap_s)
                    begun = True
                for piece in joined(pieces):
                    yield piece
                if end is not None:
                    yield end
                    return
        raise EngineTruncated("the model server's answer was cut off")

    def _body(self, request: GenerationRequest) -> dict[str, Any]:
        sampling = request.sampling
        return {
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "stream": True,
            "truncate": False,
            "think": sampling.thinking,
            "keep_alive": self._keep_alive,
            "options": {
                "num_ctx": self._context_tokens,
                "num_predict": sampling.max_tokens,
                "temperature": sampling.temperature,
            },
        }


def refused(status: int, body: object) -> EngineError:
    """The error that a status other than 200 means, with the JSON that came with it, if any."""
    said = str(body.get("error", "")) if isinstance(body, dict) else ""
    if any(mark in said for mark in _OVERFLOWS):
        return ContextOverflow("the question does not fit the model's context")
    if _CANNOT_THINK in said:
        return CannotThink("the model does not support thinking")
    if status == NOT_FOUND:
        return ModelMissing("the model server does not have this model")
    if status >= 500 or status in (408, 425, 429, 499):
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


def _said(line: dict[str, Any]) -> list[Text | Thought]:
    message = line.get("message")
    if not isinstance(message, dict):
        raise EngineError("the model server sent a line that cannot be read")
    pieces: list[Text | Thought] = []
    if thought := message.get("thinking"):
        pieces.append(Thought(thought))
    if text := message.get("content"):
        pieces.append(Text(text))
    return pieces


def _end(line: dict[str, Any]) -> End:
    reason = line.get("done_reason")
    if reason not in ("stop", "length"):
        raise EngineTruncated("the model server ended without an answer")
    usage = Usage(
        prompt_tokens=line.get("prompt_eval_count"),
        completion_tokens=line.get("eval_count"),
        load_s=_seconds(line, "load_duration"),
        prompt_s=_seconds(line, "prompt_eval_duration"),
        completion_s=_seconds(line, "eval_duration"),
    )
    return End(reason, usage)


def _seconds(line: dict[str, Any], name: str) -> float | None:
    nanoseconds = line.get(name)
    return nanoseconds / _NS if isinstance(nanoseconds, int) else None
