"""Servers of the OpenAI protocol: llama.cpp, vLLM, MLX. Always streamed (docs/adr/0006).

One connection for each generation, closed at its end: a server drops idle connections when it likes, and
a request that meets such a drop could not be told from one that a dead server swallowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import orjson

from backend.core.errors import EngineError, EngineTimeout, EngineTruncated, EngineUnreachable
from backend.engines.base import Bounds, Endpoint, GenerationRequest, Piece, Text, Thought
from backend.engines.dialects import COMMON, Dialect
from backend.engines.openai_chunks import ChunkReader, refused
from backend.engines.sse import EventParser

T = TypeVar("T")

_AFTER_FINISH_S = 2.0
_MAX_BODY_BYTES = 1_000_000


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
        self._session = session
        self._dialect = dialect

    async def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Pieces as they come; those that came in one read are joined."""
        reader, parser, bounds = ChunkReader(self._dialect), EventParser(), request.bounds
        patience = _Patience(bounds.first_token_s)
        body = orjson.dumps(self._body(request))
        begun = False
        async with self._call("POST", endpoint, "/v1/chat/completions", bounds, patience, body) as response:
            while not reader.done and (data := await _read(response, patience, reader, begun=begun)):
                finished = reader.finished
                pieces = [piece for event in parser.feed(data) for piece in reader.read(event)]
                if reader.finished and not finished:
                    patience.renew(min(_AFTER_FINISH_S, bounds.gap_s))
                elif pieces and not finished:
                    patience.renew(bounds.gap_s)
                begun = begun or bool(pieces)
                for piece in _joined(pieces):
                    yield piece
        held, end = reader.end()
        for piece in held:
            yield piece
        yield end

    async def models(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The ids that `/v1/models` lists."""
        bounds, patience = Bounds(), _Patience(Bounds().gap_s)
        async with self._call("GET", endpoint, "/v1/models", bounds, patience) as response:
            body = await _json(response, patience)
        try:
            return tuple(str(model["id"]) for model in body["data"])
        except (KeyError, TypeError) as exc:
            raise EngineError("the model server's list of models cannot be read") from exc

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
        return body

    @asynccontextmanager
    async def _call(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        bounds: Bounds,
        patience: _Patience,
        body: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer's headers; its connection is closed on leaving, read to the end or not."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if endpoint.api_key:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
        request = self._session.request(
            method,
            endpoint.url + path,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=bounds.connect_s),
        )
        try:
            response = await patience.within(request)
        except (aiohttp.ClientError, OSError) as exc:
            raise EngineUnreachable("the model server does not answer") from exc
        try:
            if response.status != 200:
                raise await _refusal(response, patience)
            yield response
        finally:
            response.close()


class _Patience:
    """How much more silence is borne; only time spent waiting counts, not a reader's slowness."""

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds

    def renew(self, seconds: float) -> None:
        """Bear `seconds` from now on."""
        self._left_s = seconds

    async def within(self, work: Awaitable[T]) -> T:
        """The result of `work`.

        Raises:
            EngineTimeout: Patience ran out.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        timeout = asyncio.timeout(self._left_s)
        try:
            async with timeout:
                return await work
        except TimeoutError as exc:
            if not timeout.expired():
                raise
            raise EngineTimeout("the model server was silent for too long") from exc
        finally:
            self._left_s -= loop.time() - began


async def _read(
    response: aiohttp.ClientResponse, patience: _Patience, reader: ChunkReader, *, begun: bool
) -> bytes:
    """The next bytes; none at the end, or when what still may come no longer matters."""
    try:
        return await patience.within(response.content.readany())
    except (aiohttp.ClientError, OSError, EngineTimeout) as exc:
        if reader.finished:
            return b""
        if isinstance(exc, EngineTimeout):
            raise
        broke = EngineTruncated if begun else EngineUnreachable
        raise broke("the connection to the model server broke") from exc


def _joined(pieces: Iterable[Text | Thought]) -> list[Text | Thought]:
    joined: list[Text | Thought] = []
    for piece in pieces:
        if joined and type(joined[-1]) is type(piece):
            joined[-1] = type(piece)(joined[-1].text + piece.text)
        else:
            joined.append(piece)
    return joined


async def _json(response: aiohttp.ClientResponse, patience: _Patience) -> Any:
    data = bytearray()
    try:
        while part := await patience.within(response.content.readany()):
            data += part
            if len(data) > _MAX_BODY_BYTES:
                raise EngineError("the model server's answer is too long")
        return orjson.loads(data)
    except (aiohttp.ClientError, OSError) as exc:
        raise EngineUnreachable("the connection to the model server broke") from exc
    except orjson.JSONDecodeError as exc:
        raise EngineError("the model server sent what is no JSON") from exc


async def _refusal(response: aiohttp.ClientResponse, patience: _Patience) -> EngineError:
    try:
        body = await _json(response, patience)
    except EngineError:
        body = None
    return refused(response.status, body)
