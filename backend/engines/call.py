"""HTTP calls to model servers: one connection each, bounded silence, errors of our tree.

A connection is closed at the end of its call: a server drops idle connections when it likes, and a request
that meets such a drop could not be told from one that a dead server swallowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import orjson

from backend.core.aio import Elapsed, Limit
from backend.core.errors import EngineError, EngineTimeout, EngineTruncated, EngineUnreachable
from backend.engines.base import Bounds, Endpoint, Text, Thought

T = TypeVar("T")
Refused = Callable[[int, object], EngineError]
"""The error that a status other than 200 means, with the JSON that came with it, if any."""

NOT_FOUND = 404
_MAX_BODY_BYTES = 1_000_000
_SHORT_CALL_S = 30.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes calls.

    Args:
        session: Has no time limit of its own, as `infra.http.open_session` makes it.
    """

    session: aiohttp.ClientSession
    refused: Refused

    @asynccontextmanager
    async def open(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        bounds: Bounds,
        patience: Patience,
        body: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer's headers; its connection is closed on leaving, read to the end or not."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if endpoint.authorization:
            headers["Authorization"] = endpoint.authorization
        request = self.session.request(
            method,
            endpoint.address + path,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=bounds.connect_s),
        )
        try:
            response = await self._answer(request, patience)
            try:
                if response.status != 200:
                    raise await self._refusal(response, patience)
                yield response
            finally:
                response.close()
        finally:
            patience.end()

    async def json(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        *,
        body: bytes | None = None,
        within_s: float = _SHORT_CALL_S,
    ) -> Any:
        """The JSON answer of a call that does not stream."""
        bounds, patience = Bounds(), Patience(within_s)
        async with self.open(method, endpoint, path, bounds, patience, body) as response:
            return await _json(response, patience)

    async def _answer(
        self, request: Awaitable[aiohttp.ClientResponse], patience: Patience
    ) -> aiohttp.ClientResponse:
        try:
            return await patience.within(request)
        except (aiohttp.ClientError, OSError) as exc:
            raise EngineUnreachable("the model server does not answer") from exc

    async def _refusal(self, response: aiohttp.ClientResponse, patience: Patience) -> EngineError:
        try:
            body = await _json(response, patience)
        except EngineError:
            body = None
        return self.refused(response.status, body)


class Patience:
    """How much more silence is borne; only time spent waiting counts, not a reader's slowness."""

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds
        self._limit = Limit()

    def renew(self, seconds: float) -> None:
        """Bear `seconds` from now on."""
        self._left_s = seconds

    async def within(self, work: Awaitable[T]) -> T:
        """The result of `work`.

        Raises:
            EngineTimeout: Patience ran out.
        """
        now = asyncio.get_running_loop().time
        began = now()
        try:
            return await self._limit.within(self._left_s, work)
        except Elapsed as exc:
            raise EngineTimeout("the model server was silent for too long") from exc
        finally:
            self._left_s -= now() - began

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._limit.close()


async def read(response: aiohttp.ClientResponse, patience: Patience, *, begun: bool) -> bytes:
    """The next bytes as they came; none at the end.

    Raises:
        EngineTimeout: Patience ran out.
        EngineTruncated: The connection broke; EngineUnreachable if nothing had come of it.
    """
    try:
        return await patience.within(response.content.readany())
    except (aiohttp.ClientError, OSError) as exc:
        broke = EngineTruncated if begun else EngineUnreachable
        raise broke("the connection to the model server broke") from exc


def joined(pieces: Iterable[Text | Thought]) -> list[Text | Thought]:
    """The same text in fewer pieces: neighbours of one kind become one."""
    result: list[Text | Thought] = []
    for piece in pieces:
        if result and type(result[-1]) is type(piece):
            result[-1] = type(piece)(result[-1].text + piece.text)
        else:
            result.append(piece)
    return result


async def _json(response: aiohttp.ClientResponse, patience: Patience) -> Any:
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
