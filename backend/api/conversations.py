"""A reader's own conversations."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response

from backend.api.deps import ReaderDep, ServicesDep
from backend.core.types import Principal
from backend.history.base import Owner

router = APIRouter(prefix="/api/v1/conversations", tags=["conversations"])
Limit = Annotated[int, Query(ge=1, le=200)]
Last = Annotated[int, Query(ge=1, le=500)]
Before = Annotated[float | None, Query(allow_inf_nan=False)]


def _owner(who: Principal) -> Owner:
    return Owner(who.tenant, who.subject)


@router.get("")
async def conversations(
    services: ServicesDep, who: ReaderDep, before: Before = None, limit: Limit = 50
) -> Response:
    """Latest first; the next page is those updated before the last one of this."""
    found = await services.history.conversations(_owner(who), before=before, limit=limit)
    return Response(orjson.dumps({"conversations": list(found)}), media_type="application/json")


@router.get("/{conversation_id}")
async def turns(services: ServicesDep, who: ReaderDep, conversation_id: str, last: Last = 50) -> Response:
    """The newest `last` turns of one conversation, oldest first; a running one may be followed by its run."""
    found = await services.history.turns(_owner(who), conversation_id, last=last)
    body = orjson.dumps({"id": conversation_id, "turns": list(found)})
    return Response(body, media_type="application/json")


@router.delete("/{conversation_id}", status_code=204)
async def delete(services: ServicesDep, who: ReaderDep, conversation_id: str) -> None:
    """Remove a conversation for good."""
    await services.history.delete(_owner(who), conversation_id)
