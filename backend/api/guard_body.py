"""Headers and bodies: how much, of what type, how slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.render import Refusal, render

MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100
MAX_TARGET_BYTES = 8 * 1024
MIN_BYTES_PER_S = 1024
"""A body that comes more slowly is given up, after the first silence that is allowed anyway."""


class BodyCheck:
    """Refuses what is too large, too slow or of another type, before anything is kept of it.

    Args:
        max_bytes: Largest body, but on `upload_paths`, where it is `max_upload_bytes`.
        upload_paths: Take `multipart/form-data`; all others take JSON.
        timeout_s: Longest silence while a body arrives.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int,
        max_upload_bytes: int,
        upload_paths: Collection[str],
        timeout_s: float,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes
        self._upload_paths = upload_paths
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"] in self._upload_paths
        limit = self._max_upload_bytes if is_upload else self._max_bytes
        headers = Headers(scope=scope)
        refusal = _headers_refused(scope) or _body_refused(headers, limit=limit, is_upload=is_upload)
        if refusal is not None:
            await render(scope, refusal)(scope, receive, send)
            return
        await self._app(scope, _Metered(receive, limit, self._timeout_s).receive, send)


class _Metered:
    """Counts and times a body as it arrives.

    It raises Starlette's exception, because FastAPI makes a 400 of any other that a body's reading raises.
    """

    def __init__(self, receive: Receive, limit: int, timeout_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._timeout_s = timeout_s
        self._began: float | None = None
        self._size = 0
        self._ended = False

    async def receive(self) -> Message:
        """The next message; once the body has ended, a disconnect is waited for without bound."""
        if self._ended:
            return await self._receive()
        try:
            async with asyncio.timeout(self._patience_s()):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, headers={"connection": "close"}) from None
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise HTTPException(413)
        self._ended = not message.get("more_body", False)
        return message

    def _patience_s(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        allowed_s = self._timeout_s + self._size / MIN_BYTES_PER_S
        return max(0.0, min(self._timeout_s, self._began + allowed_s - now))


def _headers_refused(scope: Scope) -> Refusal | None:
    headers = scope["headers"]
    size = sum(len(name) + len(text) for name, text in headers)
    target = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
    if size > MAX_HEADER_BYTES or len(headers) > MAX_HEADERS:
        return Refusal(431, "headers_too_large", "the headers are too large")
    if target > MAX_TARGET_BYTES:
        return Refusal(414, "invalid_request", "the address is too long")
    return None


def _body_refused(headers: Headers, *, limit: int, is_upload: bool) -> Refusal | None:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return Refusal(400, "invalid_request", "Content-Length is no number")
    if len(length) > 18 or int(length) > limit:
        return Refusal(413, "too_large", f"the body has more than {limit} bytes")
    if int(length) == 0 and "transfer-encoding" not in headers:
        return None
    if headers.get("content-encoding", "identity").lower() != "identity":
        return Refusal(415, "unsupported_media_type", "compressed bodies are not read")
    wanted = "multipart/form-data" if is_upload else "application/json"
    if not _is_type(headers.getlist("content-type"), wanted):
        return Refusal(415, "unsupported_media_type", f"the body must be {wanted}, in UTF-8")
    return None


def _is_type(given: list[str], wanted: str) -> bool:
    if len(given) != 1:
        return False
    media_type, *parameters = (part.strip().lower() for part in given[0].split(";"))
    charsets = [
        part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")
    ]
    return media_type == wanted and all(charset in ("utf-8", "utf8") for charset in charsets)
