"""The real application over a real socket, in the test's own loop; its model servers follow a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from backend.app import create_app
from backend.config import Settings
from backend.corpus.base import CorpusRef
from backend.engines.base import Endpoint
from backend.engines.scripted import ScriptedEngine
from backend.pool.base import Instance
from backend.services import Services
from backend.wiring.services import LOCAL_TENANT, open_services

DEFAULT = CorpusRef(LOCAL_TENANT, "default")
_INDEX_S = 20.0
HOURS = (
    "hours.md",
    b"# Opening hours\n\nThe library opens at nine in the morning from Tuesday to Saturday.\n\n"
    b"# Renewals\n\nA loan can be renewed twice, for three weeks each, unless somebody waits for it.\n",
)
GARDEN = (
    "jardin.txt",
    "Le jardin de lecture\n\nLe jardin de lecture ferme à dix-huit heures en hiver et à vingt heures en été. "
    "Les chiens y sont admis en laisse.\n".encode(),
)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event as it came."""

    name: str
    data: dict[str, Any]
    id: str | None


@dataclass(frozen=True, slots=True)
class LiveApp:
    """A running application and a client of it."""

    url: str
    client: httpx.AsyncClient
    services: Services

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, **options: Any
    ) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[Event]]]:
        """A response and its events."""
        async with self.client.stream(method, path, **options) as response:
            yield response, events(response)

    async def ask(self, question: str, **body: Any) -> list[Event]:
        """All events of a question."""
        return await self.collect("POST", "/api/v1/chat/stream", json={"question": question, **body})

    async def collect(self, method: str, path: str, **options: Any) -> list[Event]:
        """All events of one response."""
        async with asyncio.timeout(180), self.stream(method, path, **options) as (response, incoming):
            assert response.status_code == 200, await response.aread()
            return [event async for event in incoming]

    async def put(self, *files: tuple[str, bytes]) -> None:
        """Hand in files and wait until they are read."""
        status = await self.services.ingestion.submit(DEFAULT, files)
        async with asyncio.timeout(120):
            while not status.ended:
                await asyncio.sleep(0.05)
                status = await self.services.ingestion.status(LOCAL_TENANT, status.id)


async def events(response: httpx.Response) -> AsyncIterator[Event]:
    """Server-sent events of a response, heartbeats left out."""
    waiting = b""
    async for chunk in response.aiter_bytes():
        *frames, waiting = (waiting + chunk).split(b"\n\n")
        for frame in frames:
            fields = dict(line.split(": ", 1) for line in frame.decode().split("\n") if line[0] != ":")
            if "data" in fields:
                yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"))


def text_of(happened: Sequence[Event]) -> str:
    """The answer that the events make."""
    return "".join(event.data["text"] for event in happened if event.name == "delta")


_NEVER_IN_DOUBT = 0.1
"""As `no_answer_threshold`: what is not refused is answered."""


def settings_in(folder: Path, models: Path, **sections: Any) -> Settings:
    """Settings of an application that keeps everything in `folder`, and shares exported models."""
    server = {"port": 0, "shutdown_grace_s": 1, **sections.pop("server", {})}
    # A busy machine is no lost index, and of one document the gate is seldom sure: both are tested elsewhere.
    kept = {"index_timeout_s": _INDEX_S, "doubt_threshold": _NEVER_IN_DOUBT}
    sections["retrieval"] = kept | sections.get("retrieval", {})
    return Settings(data={"dir": folder, "models_dir": models}, server=server, **sections)  # type: ignore[arg-type]


def scripted(engine: ScriptedEngine, *, slots: int = 4) -> list[Instance]:
    """One instance whose engine follows a script."""
    return [Instance("scripted-1", Endpoint(""), engine, slots)]


@asynccontextmanager
async def live_app(settings: Settings, instances: Sequence[Instance] | None = ()) -> AsyncIterator[LiveApp]:
    """Start the application on a free port, stop it on leaving."""
    app = create_app(settings, partial(open_services, serving=True, instances=instances))
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=2, proxy_headers=False)
    )
    serving = asyncio.ensure_future(server.serve())
    try:
        async with asyncio.timeout(240):
            while not server.started:
                if serving.done():
                    await serving
                    raise RuntimeError("the application did not start")
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=120, verify=False) as client:
            yield LiveApp(url, client, server.lifespan.state["services"])
    finally:
        server.should_exit = True
        await serving
