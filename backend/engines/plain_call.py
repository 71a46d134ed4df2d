"""HTTP calls to model servers that no reader waits for, on the standard library: its import costs nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from backend.core.errors import EngineError, EngineTimeout, EngineUnreachable, Unavailable
from backend.engines.base import Endpoint
from backend.engines.lenient import an_object
from backend.engines.refusal import NO_TLS, UNKNOWN_HOST, UNTRUSTED, Refusal, Refused, a_page
from backend.infra import plain_http as http

_OK = 200
_MAX_BODY_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class PlainCaller:
    """Makes calls, a connection each; errors as those of `call.Caller`.

    Args:
        connect_s: Until the connection stands.
        answer_s: For a short call as a whole.
    """

    refused: Refused
    connect_s: float = 2.0
    answer_s: float = 30.0

    async def json(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        *,
        body: bytes = b"",
        refused: Refused | None = None,
    ) -> Any:
        """The JSON object that answers a short call."""
        return an_object(await self.whole(method, endpoint, path, body=body, refused=refused))

    async def whole(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        *,
        body: bytes = b"",
        refused: Refused | None = None,
    ) -> bytes:
        """The answer to a short call."""
        try:
            async with (
                asyncio.timeout(self.answer_s),
                self.open(method, endpoint, path, body, refused=refused) as pieces,
            ):
                return await _joined(pieces)
        except TimeoutError as exc:
            raise EngineTimeout("the model server did not answer in time") from exc

    @asynccontextmanager
    async def open(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        body: bytes = b"",
        *,
        refused: Refused | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of a good answer as it comes, however slowly; its connection is closed on leaving.

        `refused` stands in place of the caller's own.
        """
        url, headers = _sent(endpoint, path)
        try:
            async with http.request(
                method,
                url,
                headers=headers,
                body=body,
                connect_s=self.connect_s,
                silence_s=None,
            ) as response:
                if response.status != _OK:
                    raise (refused or self.refused)(await _refusal(response))
                if response.headers.get("content-type", "").startswith("text/html"):
                    raise a_page()
                yield response.body
        except Unavailable as exc:
            raise EngineUnreachable("the model server does not answer", reason=_why(exc.__cause__)) from exc


def _sent(endpoint: Endpoint, path: str) -> tuple[str, dict[str, str]]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "libriassist"}
    try:
        if endpoint.authorization:
            headers["Authorization"] = endpoint.authorization
        return endpoint.address + path, headers
    except ValueError as exc:
        raise EngineUnreachable("the model server's address cannot be read") from exc


async def _joined(pieces: AsyncIterator[bytes]) -> bytes:
    data = bytearray()
    async for piece in pieces:
        data += piece
        if len(data) > _MAX_BODY_BYTES:
            raise EngineError("the model server's answer is too long")
    return bytes(data)


async def _refusal(response: http.Response) -> Refusal:
    """A refusal, read as far as it can be."""
    try:
        data = await _joined(response.body)
    except (EngineError, Unavailable):
        data = b""
    return Refusal.read(response.status, data, response.headers.get("location", ""))


def _why(exc: BaseException | None) -> str:
    """What an operator has to know of a connection that failed; "" for one that was simply refused."""
    match exc:
        case socket.gaierror():
            return UNKNOWN_HOST
        case ssl.SSLCertVerificationError():
            return UNTRUSTED
        case ssl.SSLError():
            return NO_TLS
    return ""
