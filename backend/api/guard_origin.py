"""Whose name is called, and whose page calls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.problems import problem

# Probes of an orchestrator call by address, and these two paths tell nothing.
OPEN_PATHS = frozenset({"/health", "/health/ready"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CORS_METHODS = "GET, POST, DELETE"
CORS_HEADERS = "authorization, content-type, idempotency-key, last-event-id, x-request-id"
CORS_EXPOSED = "x-request-id, retry-after"
CORS_MAX_AGE_S = 600

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


class HostCheck:
    """Serves only requests for our own names.

    Args:
        allowed: Names without port; `*` allows all, `*.example.org` every name below it.
    """

    def __init__(self, app: ASGIApp, *, allowed: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in allowed)
        self._suffixes = tuple(name.lower()[1:] for name in allowed if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http" and (refused := self._refused(scope)) is not None:
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        if scope["path"] in OPEN_PATHS:
            return None
        given = Headers(scope=scope).getlist("host")
        match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if match is None:
            return problem(400, "invalid_request", "one valid Host header is needed")
        name = match["name"].lower().rstrip(".")
        if "*" in self._names or name in self._names or name.endswith(self._suffixes):
            return None
        return problem(421, "misdirected_request", "this name is not served here (setting: allowed_hosts)")


class OriginCheck:
    """Refuses calls from other sites' pages, but for those allowed, which get CORS headers.

    No credentials are allowed across sites: our cookie is `SameSite=Strict`, programs use bearer keys.

    Args:
        allowed: Origins as browsers send them, such as `https://intranet.example.org`.
    """

    def __init__(self, app: ASGIApp, *, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(origin.lower().rstrip("/") for origin in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        if origin.lower() in self._allowed and len(headers.getlist("origin")) == 1:
            await self._shared(origin, scope, receive, send)
        elif self._is_foreign(scope, headers):
            refusal = problem(403, "forbidden", "calls from other sites are not allowed")
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    @staticmethod
    def _is_foreign(scope: Scope, headers: Headers) -> bool:
        site = headers.get("sec-fetch-site", "none")
        origins = headers.getlist("origin")
        if not origins:
            guarded = scope["method"] not in SAFE_METHODS or scope["path"].startswith("/api/")
            return guarded and site in ("cross-site", "same-site")
        if len(origins) > 1:
            return True
        if origins[0] == "null":
            return site != "same-origin"
        return not _same_origin(origins[0], headers.get("host", ""))

    async def _shared(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            await _preflight(origin)(scope, receive, send)
            return

        async def with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["access-control-allow-origin"] = origin
                headers["access-control-expose-headers"] = CORS_EXPOSED
                headers.add_vary_header("Origin")
            await send(message)

        await self._app(scope, receive, with_cors)


def _same_origin(origin: str, host: str) -> bool:
    """Whether `origin` is this server as the caller names it; the scheme is the proxy's affair."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _preflight(origin: str) -> Response:
    return Response(
        status_code=204,
        headers={
            "access-control-allow-origin": origin,
            "access-control-allow-methods": CORS_METHODS,
            "access-control-allow-headers": CORS_HEADERS,
            "access-control-max-age": str(CORS_MAX_AGE_S),
            "vary": "Origin",
        },
    )
