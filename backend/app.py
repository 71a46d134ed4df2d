"""The application: lifespan, routers, error handlers. No rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypedDict

from fastapi import FastAPI

from backend import __version__
from backend.api import admin_pool, chat, conversations, documents, operations, session, web
from backend.api.guard import guarded
from backend.api.problems import install_problems
from backend.config import Settings, load
from backend.services import Services
from backend.wiring.services import open_services


class State(TypedDict):
    """What a request finds in `request.state`."""

    services: Services


Open = Callable[[Settings], AbstractAsyncContextManager[Services]]


SERVING: Open = partial(open_services, serving=True)


def create_app(settings: Settings | None = None, opener: Open = SERVING) -> FastAPI:
    """An ASGI application; its services open when the server starts and close when it stops."""
    settings = settings or load()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with opener(settings) as services:
            yield {"services": services}

    app = FastAPI(title="LibriAssist", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    install_problems(app)
    for module in (chat, conversations, documents, session, operations, admin_pool, web):
        app.include_router(module.router)
    guarded(app, settings.server)
    return app
