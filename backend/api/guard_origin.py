"""Whose name is called, and whose page calls."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.forwarded import Origin, authority, is_ours, origin
from backend.api.render import Refusal, render

# Probes of an orchestrator call by address, and these two paths tell nothing.
OPEN_PATHS = frozenset({"/health", "/health/ready"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CORS_METHODS = "GET, POST, PATCH, DELETE"
CORS_HEADERS = "authorization, content-type, idempotency-key, last-event-id, x-request-id"
CORS_EXPOSED = "x-request-id, retry-after"
CORS_MAX_AGE_S = 600
_FOREIGN = Refusal(
    403, "forbidden", "calls from other sites are not allowed (settings: allowed_origins, allowed_hosts)"
)


class Names:
    """The names under which we are served.

    Args:
        allowed: `*` allows all, `*.example.org` every name below it; scheme and port are ignored.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        found = [authority(name) or origin(name) or authority(f"[{name}]") for name in allowed]
        self._names = frozenset(one.name for one in found if one is not None)
        self._suffixes = tuple(
            name[1:].lower().partition(":")[0] for name in allowed if name.startswith("*.")
        )
        self._all = "*" in allowed

    def __contains__(self, name: str) -> bool:
        return self._all or name in self._names or name.endswith(self._suffixes)


class HostCheck:
    """Serves only requests for our own names, whatever a proxy says besides.

    Args:
        allowed: As `Names` takes them.
    """

    def __init__(self, app: ASGIApp, *, allowed: Sequence[str]) -> None:
        self._app = app
        self._names = Names(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http" and (refused := self._refused(scope)) is not None:
            await render(scope, refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> Refusal | None:
        if scope["path"] in OPEN_PATHS:
            return None
        given = Headers(scope=scope).getlist("host")
        called = authority(given[0]) if len(given) == 1 else None
        if called is None:
            return Refusal(400, "invalid_request", "one valid Host header is needed")
        if called.name in self._names:
            return None
        return Refusal(421, "misdirected_request", "this name is not served here (setting: allowed_hosts)")


class OriginCheck:
    """Refuses calls from other sites' pages, but for those allowed, which get CORS headers.

    No credentials are allowed across sites: our cookie is `SameSite=Strict`, programs use bearer keys.

    Args:
        allowed: Origins as browsers send them, such as `https://intranet.example.org`.
        hosts: Our own names, as `Names` takes them.
    """

    def __init__(self, app: ASGIApp, *, allowed: Sequence[str], hosts: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(origin(one) or one.lower() for one in allowed)
        self._names = Names(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("origin", "")
        if (origin(given) or given.lower()) in self._allowed and len(headers.getlist("origin")) == 1:
            await self._shared(given, scope, receive, send)
        elif self._is_foreign(scope, headers):
            await render(scope, _FOREIGN)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_foreign(self, scope: Scope, headers: Headers) -> bool:
        """Whether a browser sends this for another site's page.

        Browsers say so themselves (`Sec-Fetch-Site`, which no page can set) on TLS and on loopback.
        """
        sites = headers.getlist("sec-fetch-site")
        origins = headers.getlist("origin")
        if len(origins) > 1 or len(sites) > 1:
            return True
        is_elsewhere = sites[:1] in (["cross-site"], ["same-site"])
        if not origins:
            guarded = scope["method"] not in SAFE_METHODS or scope["path"].startswith("/api/")
            return guarded and is_elsewhere
        is_same = sites == ["same-origin"]
        if origins[0] == "null":
            return not is_same
        page = origin(origins[0])
        return is_elsewhere or page is None or not self._is_own(page, headers, is_same=is_same)

    def _is_own(self, page: Origin, headers: Headers, *, is_same: bool) -> bool:
        return page.name in self._names and (is_same or is_ours(page, headers))

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
