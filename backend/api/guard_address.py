"""Where a request goes: the path as our routes know it, and HEAD as GET."""

from __future__ import annotations

from anyio import CancelScope
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.forwarded import prefix

_PREFIX = "libriassist.prefix"


class Addressing:
    """Takes off what a proxy has left before our own path, and slashes too many at either end.

    So `/assist/api/v1/models/` and `//api/v1/models` find their route without a redirect: that would have to
    know our scheme, port and prefix as the caller sees them.

    Args:
        root_path: Where the proxy serves us; "" if only the proxy knows.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self._app = app
        self._root = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            scope = {**scope, "path": self._path(scope["path"]), _PREFIX: self._root}
        await self._app(scope, receive, send)

    def _path(self, path: str) -> str:
        path = "/" + path.strip("/")
        if self._root and f"{path}/".startswith(f"{self._root}/"):
            path = "/" + path.removeprefix(self._root).strip("/")
        return path


def prefix_of(request: Request) -> str:
    """The path below which the caller sees us, such as `/assist`; "" at the top of a host, or if unknown."""
    return request.scope.get(_PREFIX, "") or prefix(request.headers)


class Head:
    """Answers HEAD with the head of GET's answer; a stream is left as soon as it begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] == "HEAD":
            await self._head({**scope, "method": "GET"}, receive, send)
        else:
            await self._app(scope, receive, _allowing_head(send))

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        with CancelScope() as answering:

            async def without_body(message: Message) -> None:
                if message["type"] == "http.response.body" and not answering.cancel_called:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    if message.get("more_body", False):
                        answering.cancel()
                elif message["type"] == "http.response.start":
                    await send(message)

            await self._app(scope, receive, _allowing_head(without_body))


def _allowing_head(send: Send) -> Send:
    """A 405 that offers GET offers HEAD."""

    async def offering(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 405:
            headers = MutableHeaders(scope=message)
            offered = [one.strip() for one in headers.get("allow", "").split(",")]
            if "GET" in offered and "HEAD" not in offered:
                headers["allow"] = ", ".join([*offered, "HEAD"])
        await send(message)

    return offering
