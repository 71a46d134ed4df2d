"""The layer around all others: a request id, security headers, and one answer for what nobody expected."""

from __future__ import annotations

import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.render import INTERNAL, Refusal, render
from backend.core.errors import LibriError
from backend.telemetry.logs import request_context

log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Set where the application set none; the page has a policy of its own."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Shield:
    """Answers 500 once, logged under the request's id, when the application raises before it has answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _request_id(scope)
        started = False

        async def shielded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _complete(MutableHeaders(scope=message), request)
            await send(message)

        with request_context(request):
            try:
                await self._app(scope, receive, shielded)
            except Exception as exc:
                if started:
                    log.error("a response broke off", exc_info=exc)
                    raise
                await render(scope, _unexpected(exc))(scope, receive, shielded)


def _unexpected(exc: Exception) -> LibriError | Refusal:
    if (ours := _one_of_ours(exc)) is not None:
        return ours
    log.error("unexpected error", exc_info=exc)
    return INTERNAL


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).getlist("x-request-id")
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0]
    return secrets.token_hex(8)


def _complete(headers: MutableHeaders, request: str) -> None:
    headers["x-request-id"] = request
    for name, text in SECURITY_HEADERS.items():
        headers.setdefault(name, text)


def _one_of_ours(exc: BaseException) -> LibriError | None:
    """An error of ours, alone or alone in a task group's group."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc if isinstance(exc, LibriError) and type(exc) is not LibriError else None
