"""Who may ask: whoever has the key, or without one whoever is on this machine."""

from __future__ import annotations

import hmac
from typing import Annotated, cast

from fastapi import Depends, Request

from backend.api.forwarded import on_loopback
from backend.core.errors import Unauthenticated
from backend.embedding.room import Room


async def room(request: Request) -> Room:
    """What the lifespan opened."""
    return cast(Room, request.state.room)


RoomDep = Annotated[Room, Depends(room)]


async def caller(request: Request, room: RoomDep) -> None:
    """Let in who may have vectors.

    Raises:
        Unauthenticated
    """
    _let_in(request, room.keys)


async def scraper(request: Request, room: RoomDep) -> None:
    """Let in who may read the metrics.

    Raises:
        Unauthenticated
    """
    _let_in(request, room.keys and (*room.keys, *filter(None, [room.scraper_key])))


CallerDep = Annotated[None, Depends(caller)]
ScraperDep = Annotated[None, Depends(scraper)]


def _let_in(request: Request, keys: tuple[str, ...]) -> None:
    if not keys:
        if not on_loopback(request):
            raise Unauthenticated("without a key only this machine is served")
        return
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    shown = shown.strip()
    fits = [hmac.compare_digest(shown.encode("latin-1"), key.encode()) for key in keys]
    if scheme.lower() != "bearer" or not any(fits):
        raise Unauthenticated("use Authorization: Bearer <key>")
