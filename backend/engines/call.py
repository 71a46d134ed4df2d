"""HTTP calls to model servers: one connection each, bounded silence, errors of our tree.

A connection is closed at the end of its call: a server drops idle connections when it likes, and a request
that meets such a drop could not be told from one that a dead server swallowed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from backend.core.errors import EngineError, EngineTruncated, EngineUnreachable
from backend.engines.base import Bounds, Endpoint, Text, Thought, Told
from backend.engines.lenient import an_object
from backend.engines.patience import Patience
from backend.engines.refusal import NO_HTTP, NO_TLS, UNKNOWN_HOST, UNTRUSTED, Refusal, Refused, a_page

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
        *,
        refused: Refused | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer's headers; its connection is closed on leaving, read to the end or not.

        `refused` stands in place of the caller's own.
        """
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
                    raise (refused or self.refused)(await _refusal(response, patience))
                if response.content_type == "text/html":
                    raise a_page()
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
        refused: Refused | None = None,
    ) -> Any:
        """The JSON answer of a call that does not stream.

        Raises:
            EngineError: What `refused` makes of it, or it is no JSON.
        """
        bounds, patience = Bounds(), Patience(within_s)
        async with self.open(method, endpoint, path, bounds, patience, body, refused=refused) as response:
            return an_object(await whole(response, patience))

    async def _answer(
        self, request: Awaitable[aiohttp.ClientResponse], patience: Patience
    ) -> aiohttp.ClientResponse:
        try:
            return await patience.within(request)
        except (aiohttp.ClientError, OSError) as exc:
            raise EngineUnreachable("the model server does not answer", reason=_why(exc)) from exc


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


def joined(pieces: Iterable[Told]) -> list[Told]:
    """The same text in fewer pieces: neighbours of one kind become one."""
    result: list[Told] = []
    for piece in pieces:
        last = result[-1] if result else None
        if isinstance(piece, Text) and isinstance(last, Text):
            result[-1] = Text(last.text + piece.text, tokens=last.tokens + piece.tokens)
        elif isinstance(piece, Thought) and isinstance(last, Thought):
            result[-1] = Thought(last.text + piece.text, tokens=last.tokens + piece.tokens)
        else:
            result.append(piece)
    return result


def all_read(reads: Iterable[list[Told]]) -> tuple[list[Told], EngineError | None]:
    """What came in one read, up to the error in it, if there is one: what was said before that counts."""
    pieces: list[Told] = []
    try:
        for read_pieces in reads:
            pieces += read_pieces
    except EngineError as exc:
        return joined(pieces), exc
    return joined(pieces), None


def _why(exc: Exception) -> str:
    """What an operator has to know of a connection that failed; "" for one that was simply refused."""
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return UNKNOWN_HOST
        case aiohttp.ClientConnectorCertificateError():
            return UNTRUSTED
        case aiohttp.ClientSSLError():
            return NO_TLS
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
            return ""
        case aiohttp.ClientResponseError():
            return NO_HTTP
    return ""


async def whole(
    response: aiohttp.ClientResponse, patience: Patience, *, most_bytes: int = _MAX_BODY_BYTES
) -> bytes:
    """The body of an answer that does not stream.

    Raises:
        EngineTimeout: Patience ran out.
        EngineUnreachable: The connection broke.
        EngineError: It is longer than `most_bytes`.
    """
    data = bytearray()
    try:
        while part := await patience.within(response.content.readany()):
            data += part
            if len(data) > most_bytes:
                raise EngineError("the model server's answer is too long")
    except (aiohttp.ClientError, OSError) as exc:
        raise EngineUnreachable("the connection to the model server broke") from exc
    return bytes(data)


async def _refusal(response: aiohttp.ClientResponse, patience: Patience) -> Refusal:
    """A refusal, read as far as it can be."""
    try:
        data = await whole(response, patience)
    except EngineError:
        data = b""
    return Refusal.read(response.status, data, response.headers.get("Location", ""))
