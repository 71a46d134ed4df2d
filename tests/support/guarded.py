"""A small application behind the real guard, and a server that runs any application on a free port."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Query, UploadFile
from starlette.responses import StreamingResponse

from backend.api.guard import guarded
from backend.api.problems import install_problems
from backend.api.schemas import ChatRequest
from backend.api.strict import JsonBody
from backend.config import Server
from backend.core.errors import PoolFull, Unauthenticated


def small_app(server: Server) -> FastAPI:  # noqa: C901
    """Routes of each kind the guard knows."""
    app = FastAPI()
    install_problems(app)

    @app.post("/api/v1/chat")
    async def chat(body: JsonBody[ChatRequest]) -> dict[str, str]:
        return {"question": body.question}

    @app.post("/api/v1/documents")
    async def documents(file: list[UploadFile]) -> dict[str, int]:
        return {"bytes": sum([len(await part.read()) for part in file])}

    @app.get("/api/v1/list")
    async def listed(limit: Annotated[int, Query(ge=1, le=10)] = 5) -> dict[str, int]:
        return {"limit": limit}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def slowly() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x"
                await asyncio.sleep(0.05)

        return StreamingResponse(slowly())

    @app.get("/page")
    async def page() -> StreamingResponse:
        return StreamingResponse(iter([b"<p>"]), headers={"content-security-policy": "default-src 'self'"})

    @app.post("/v1/chat/completions")
    async def completions(body: JsonBody[ChatRequest]) -> dict[str, str]:
        return {"question": body.question}

    @app.get("/v1/fails/{how}")
    @app.get("/fails/{how}")
    async def fails(how: str) -> None:
        match how:
            case "full":
                raise PoolFull(retry_after_s=2.4)
            case "group":
                raise ExceptionGroup("g", [ExceptionGroup("h", [Unauthenticated("no")])])
            case _:
                raise KeyError("the reader's words")

    guarded(app, server)
    return app


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Yields the application's address, served from a thread; requests travel over a real socket."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(5)
