"""Speaks to the server that holds the data folder, for commands that run beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from backend.config import Settings
from backend.core.errors import LibriError, Unavailable, revived

ADDRESS_FILE = "server.json"
"""In the data folder, for its owner only: where the server that holds it listens, and a key to it."""


class ServerClient:
    """The HTTP API, as far as commands need it.

    Raises:
        LibriError: Every method; what the server answered, or `Unavailable`.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def json(
        self, method: str, path: str, *, good: Container[int] = range(400), **options: Any
    ) -> dict[str, Any]:
        """The JSON answer to one request; a status that is not `good` is an error."""
        try:
            async with self._session.request(method, path, **options) as response:
                body = orjson.loads(await response.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            raise Unavailable("the running server does not answer") from exc
        if response.status not in good:
            raise revived(body.get("code", ""), _words(body))
        return dict(body)

    async def health(self) -> dict[str, Any]:
        """What the server says of each thing it stands on, broken ones too."""
        answer = await self.json("GET", "/health/deep", good=(200, 503))
        if "checks" not in answer:
            raise revived(answer.get("code", ""), answer.get("detail") or "the server cannot check itself")
        return dict(answer["checks"])

    async def upload(self, corpus: str, files: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
        """Hand in files; the state of their ingestion."""
        form = aiohttp.FormData(quote_fields=False)
        for name, content in files:
            form.add_field("file", content, filename=name, content_type="application/octet-stream")
        return await self.json("POST", "/api/v1/documents", params={"corpus": corpus}, data=form)

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
    url, token = _address(settings.data.dir / ADDRESS_FILE)
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=60)
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout, trust_env=False) as session:
        yield ServerClient(session)


def _address(path: Path) -> tuple[str, str]:
    try:
        said = orjson.loads(path.read_bytes())
        return str(said["url"]), str(said["token"])
    except (OSError, ValueError, KeyError) as exc:
        raise Unavailable(
            "another process uses the data folder, and it is not a server that can be asked"
        ) from exc


def _words(problem: dict[str, Any]) -> str:
    """What the server said, and of which fields."""
    said = problem.get("detail") or problem.get("title", "refused")
    fields = [f"{one['where']}: {one['what']}" for one in problem.get("errors", ())]
    return "; ".join([said, *fields])


__all__ = ["LibriError", "ServerClient", "running_server"]
