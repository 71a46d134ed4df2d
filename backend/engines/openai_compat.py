"""Servers of the OpenAI protocol: llama.cpp, vLLM, MLX. Always streamed (docs/adr/0006)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

import aiohttp
import orjson

from backend.core.errors import ContextOverflow, EngineError
from backend.engines.base import Endpoint, GenerationRequest, LoadedModel, ModelInfo, Piece
from backend.engines.call import Caller, all_read, read
from backend.engines.dialects import COMMON, Dialect
from backend.engines.extras import Extra, ExtrasRefused, unwanted, without_system
from backend.engines.openai_chunks import ChunkReader, refused
from backend.engines.openai_lists import OpenAILists
from backend.engines.patience import Patience
from backend.engines.refusal import Refusal
from backend.engines.resume import resume
from backend.engines.sse import EventParser

_AFTER_FINISH_S = 2.0
_CHAT = "/v1/chat/completions"
_NOTHING: frozenset[Extra] = frozenset()


class OpenAICompatEngine:
    """Speaks `/v1/chat/completions`.

    Silence is counted between pieces: comment lines and empty deltas keep a connection open, and prove
    nothing about the generation.

    What a server has refused of a request's extras is remembered, for it and its model, until the process
    ends.

    Args:
        session: Has no time limit of its own, as `infra.http.open_session` makes it.
        dialect: The kind of server; the default suits those named above.
    """

    def __init__(self, session: aiohttp.ClientSession, *, dialect: Dialect = COMMON) -> None:
        self.name = dialect.name
        self._caller = Caller(session, refused)
        self._lists = OpenAILists(self._caller.json)
        self._dialect = dialect
        self._unwanted: dict[tuple[str, str], frozenset[Extra]] = {}

    def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Pieces as they come; those that came in one read are joined."""
        ask = partial(self._ask, endpoint)
        if not request.partial:
            return ask(request)
        refused = "prefill" in self._unwanted.get((endpoint.url, request.model), _NOTHING)
        return resume(ask, request, prefills=self._dialect.prefill is not None and not refused)

    async def _ask(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """As often as the server names an extra that it does not want, once more without it.

        Without the fields that make it go on from its last message it would only begin anew: then whoever
        asks has to ask otherwise.
        """
        key = endpoint.url, request.model
        without = known = self._unwanted.get(key, _NOTHING)
        while True:
            try:
                async with aclosing(self._answer(endpoint, request, without)) as pieces:
                    async for piece in pieces:
                        if without != known:
                            self._unwanted[key] = known = without
                        yield piece
                return
            except ExtrasRefused as exc:
                without |= exc.extras
                if "prefill" in exc.extras:
                    self._unwanted[key] = known | {"prefill"}
                    raise

    async def _answer(
        self, endpoint: Endpoint, request: GenerationRequest, without: frozenset[Extra]
    ) -> AsyncGenerator[Piece, None]:
        reader, parser, bounds = ChunkReader(self._dialect), EventParser(), request.bounds
        patience = Patience(bounds.first_token_s)
        sent = self._extras(request) - without
        body = orjson.dumps(self._body(request, sent))
        heard = 0
        refused = partial(_refused, sent)
        call = self._caller.open("POST", endpoint, _CHAT, bounds, patience, body, refused=refused)
        async with call as response:
            while not reader.done and (data := await _read(response, patience, reader, begun=heard > 0)):
                finished = reader.finished
                pieces, error = all_read(map(reader.read, parser.feed(data)))
                if reader.finished and not finished:
                    patience.renew(min(_AFTER_FINISH_S, bounds.gap_s))
                elif reader.heard > heard and not finished:
                    patience.renew(bounds.gap_s)
                heard = reader.heard
                for piece in pieces:
                    yield piece
                if error is not None and not reader.finished:
                    raise error
        yield reader.end()

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """What `/v1/models` lists."""
        return await self._lists.models(endpoint)

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """The same: these servers load their model when they start, and keep it."""
        return await self._lists.loaded(endpoint)

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        """Nothing to do: what it has is loaded."""

    def _extras(self, request: GenerationRequest) -> frozenset[Extra]:
        """What a request holds that a server may not know."""
        dialect, messages = self._dialect, request.messages
        held: dict[Extra, bool] = {
            "thinking_switch": dialect.thinking_switch,
            "usage": dialect.include_usage,
            "prompt_cache": bool(dialect.extra),
            "prefill": bool(dialect.prefill) and messages[-1].role == "assistant",
            "system_role": any(message.role == "system" for message in messages),
            "max_tokens": True,
            "temperature": True,
        }
        return frozenset(extra for extra, is_held in held.items() if is_held)

    def _body(self, request: GenerationRequest, extras: frozenset[Extra]) -> dict[str, Any]:
        sampling, messages = request.sampling, request.messages
        if "system_role" not in extras and messages[0].role == "system":
            messages = without_system(messages)
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "max_tokens" if "max_tokens" in extras else "max_completion_tokens": sampling.max_tokens,
            "stream": True,
        }
        if "temperature" in extras:
            body["temperature"] = sampling.temperature
        if "usage" in extras:
            body["stream_options"] = {"include_usage": True}
        if "thinking_switch" in extras:
            body["chat_template_kwargs"] = {"enable_thinking": sampling.thinking}
        if "prompt_cache" in extras:
            body |= self._dialect.extra
        if "prefill" in extras:
            body |= self._dialect.prefill or {}
        return body


def _refused(sent: frozenset[Extra], refusal: Refusal) -> EngineError:
    """An overflow is one, whatever else the words may name."""
    error = refused(refusal)
    if not isinstance(error, ContextOverflow) and (extras := unwanted(refusal, sent)):
        return ExtrasRefused(extras)
    return error


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
