"""Speaks to the server that holds the data folder, for commands that run beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import orjson

from backend.config import Settings
from backend.core.errors import Unavailable, revived
from backend.infra import plain_http as http
from backend.infra.address_file import ADDRESS_FILE as ADDRESS_FILE
from backend.infra.address_file import address


class ServerClient:
    """The HTTP API, as far as commands need it.

    Args:
        url: Where the server listens.
        token: A key to it.

    Raises:
        LibriError: Every method; what the server answered, or `Unavailable`.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def json(
        self,
        method: str,
        path: str,
        *,
        good: Container[int] = range(400),
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON answer to one request; a status that is not `good` is an error."""
        async with self._sent(method, path, json, params) as response:
            return await _told(response, good)

    async def ask(self, question: Mapping[str, Any]) -> AsyncGenerator[tuple[str, Mapping[str, Any]], None]:
        """The events of an answer, by name, as they come."""
        async with self._sent("POST", "/api/v1/chat/stream", question) as response:
            if response.status >= 400:
                await _told(response, range(400))
            waiting = b""
            async for piece in response.body:
                *frames, waiting = (waiting + piece).split(b"\n\n")
                for frame in frames:
                    fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if b": " in line)
                    if b"data" in fields:
                        yield fields.get(b"event", b"").decode(), orjson.loads(fields[b"data"])

    async def health(self) -> dict[str, Any]:
        """What the server says of each thing it stands on, broken ones too."""
        answer = await self.json("GET", "/health/deep", good=(200, 503))
        if "checks" not in answer:
            raise revived(answer.get("code", ""), answer.get("detail") or "the server cannot check itself")
        return dict(answer["checks"])

    async def upload(self, corpus: str, files: Iterable[tuple[str, bytes, str]]) -> dict[str, Any]:
        """Hand in files (name, bytes, origin); the state of their ingestion."""
        kind, body = http.form(files)
        headers = self._headers | {"Content-Type": kind}
        url = f"{self._url}/api/v1/documents?{urlencode({'corpus': corpus})}"
        async with http.request("POST", url, headers=headers, body=body) as response:
            return await _told(response, range(400))

    def _sent(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[http.Response]:
        url = f"{self._url}{path}" + (f"?{urlencode(params)}" if params else "")
        if body is None:
            return http.request(method, url, headers=self._headers)
        headers = self._headers | {"Content-Type": "application/json"}
        return http.request(method, url, headers=headers, body=orjson.dumps(body))

    async def until_done(
        self, ingestion: dict[str, Any], on_progress: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Wait until an ingestion has ended."""
        while ingestion["state"] not in ("done", "failed"):
            on_progress(ingestion)
            await asyncio.sleep(0.3)
            ingestion = await self.json("GET", f"/api/v1/ingestions/{ingestion['id']}")
        on_progress(ingestion)
        return ingestion


@asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[ServerClient]:
    """The server that holds the data folder.

    Raises:
        Unavailable: It did not say where it listens.
    """
    yield ServerClient(*address(settings.data.dir))


async def _told(response: http.Response, good: Container[int]) -> dict[str, Any]:
    try:
        body = orjson.loads(await response.read() or b"{}")
    except ValueError as exc:
        raise Unavailable("the running server does not answer") from exc
    if response.status not in good:
        raise revived(body.get("code", ""), _words(body))
    return dict(body)


def _words(problem: dict[str, Any]) -> str:
    """What the server said, and of which fields."""
    said = problem.get("detail") or problem.get("title", "refused")
    fields = [f"{one['where']}: {one['what']}" for one in problem.get("errors", ())]
    return "; ".join([said, *fields])
