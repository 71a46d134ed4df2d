"""Servers of the OpenAI protocol: llama.cpp, vLLM, MLX. Always streamed (docs/adr/0006)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from typing import Any

import aiohttp
import orjson

from backend.core.errors import EngineError
from backend.engines.base import Endpoint, GenerationRequest, LoadedModel, ModelInfo, Piece
from backend.engines.call import Caller, Patience, joined, read
from backend.engines.dialects import COMMON, Dialect
from backend.engines.listing import context_of_props, loaded_of_openai, of_openai
from backend.engines.openai_chunks import ChunkReader, refused
from backend.engines.resume import resume
from backend.engines.sse import EventParser

_AFTER_FINISH_S = 2.0


class OpenAICompatEngine:
    """Speaks `/v1/chat/completions`.

    Silence is counted between pieces: comment lines and empty deltas keep a connection open, and prove
    nothing about the generation.

    Args:
        session: Has no time limit of its own, as `infra.http.open_session` makes it.
        dialect: The kind of server; the default suits those named above.
    """

    def __init__(self, session: aiohttp.ClientSession, *, dialect: Dialect = COMMON) -> None:
        self.name = dialect.name
        self._caller = Caller(session, refused)
        self._dialect = dialect

    def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Pieces as they come; those that came in one read are joined."""
        ask = partial(self._ask, endpoint)
        if not request.partial:
            return ask(request)
        return resume(ask, request, prefills=self._dialect.prefill is not None)

    async def _ask(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        reader, parser, bounds = ChunkReader(self._dialect), EventParser(), request.bounds
        patience = Patience(bounds.first_token_s)
        body = orjson.dumps(self._body(request))
        begun = False
        call = self._caller.open("POST", endpoint, "/v1/chat/completions", bounds, patience, body)
        async with call as response:
            while not reader.done and (data := await _read(response, patience, reader, begun=begun)):
                finished = reader.finished
                pieces = [piece for event in parser.feed(data) for piece in reader.read(event)]
                if reader.finished and not finished:
                    patience.renew(min(_AFTER_FINISH_S, bounds.gap_s))
                elif pieces and not finished:
                    patience.renew(bounds.gap_s)
                begun = begun or bool(pieces)
                for piece in joined(pieces):
                    yield piece
        held, end = reader.end()
        for piece in held:
            yield piece
        yield end

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """What `/v1/models` lists."""
        return of_openai(await self._caller.json("GET", endpoint, "/v1/models"))

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """The same: these servers load their model when they start, and keep it.

        Older llama.cpp tells the context of its one model in `/props` alone.
        """
        body = await self._caller.json("GET", endpoint, "/v1/models")
        told = loaded_of_openai(body)
        if len(told) == 1 and told[0].context_tokens is None and "meta" in body["data"][0]:
            return (replace(told[0], context_tokens=await self._props(endpoint)),)
        return told

    async def _props(self, endpoint: Endpoint) -> int | None:
        try:
            return context_of_props(await self._caller.json("GET", endpoint, "/props"))
        except EngineError:
            return None

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        """Nothing to do: what it has is loaded."""

    def _body(self, request: GenerationRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            **self._dialect.extra,
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "temperature": request.sampling.temperature,
            "max_tokens": request.sampling.max_tokens,
            "stream": True,
        }
        if self._dialect.include_usage:
            body["stream_options"] = {"include_usage": True}
        if self._dialect.thinking_switch:
            body["chat_template_kwargs"] = {"enable_thinking": request.sampling.thinking}
        if self._dialect.prefill and request.messages[-1].role == "assistant":
            body |= self._dialect.prefill
        return body


async def _read(
    response: aiohttp.ClientResponse, patience: Patience, reader: ChunkReader, *, begun: bool
) -> bytes:
    """The next bytes; none at the end, or when what still may come no longer matters."""
    try:
        return await read(response, patience, begun=begun)
    except EngineError:
        if reader.finished:
            return b""
        raise
