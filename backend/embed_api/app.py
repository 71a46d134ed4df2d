"""The application: lifespan, routes, the same guard as the assistant's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypedDict

from fastapi import FastAPI

from backend import __version__
from backend.api.guard import guarded
from backend.api.problems import install_problems
from backend.config import Settings
from backend.embed_api import rerank, routes
from backend.embedding.room import Room

MAX_BODY_BYTES: Final = 4 * 1024**2


class State(TypedDict):
    """What a request finds in `request.state`."""

    room: Room


Open = Callable[[Settings], AbstractAsyncContextManager[Room]]


def create_app(settings: Settings, opener: Open) -> FastAPI:
    """An ASGI application; its model is loaded when the server starts."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with opener(settings) as room:
            yield {"room": room}

    app = FastAPI(
        title="LibriAssist embeddings", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    install_problems(app)
    app.include_router(routes.router)
    app.include_router(rerank.router)
    # A page that another name leads here (DNS rebinding) knows no key: with one, any name is served.
    names = {"allowed_hosts": ("*",)} if settings.embedding.key.get_secret_value() else {}
    server = {"max_body_bytes": MAX_BODY_BYTES, "allowed_origins": (), "root_path": "", **names}
    guarded(app, settings.server.model_copy(update=server))
    return app
