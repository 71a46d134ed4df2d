"""Questions and runs."""

from __future__ import annotations

from contextlib import aclosing
from hashlib import sha256
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Request, Response

from backend.api.deps import ReaderDep, ServicesDep
from backend.api.schemas import ChatRequest, Feedback
from backend.api.sse import EventStream, frames
from backend.api.strict import JsonBody
from backend.chat.base import Idempotency, Run
from backend.chat.transcript import Transcript
from backend.core.errors import InvalidRequest, LibriError, revived
from backend.core.events import Done, Failed
from backend.core.types import Principal
from backend.generations.base import START, EntryId
from backend.services import Services

router = APIRouter(prefix="/api/v1", tags=["chat"])
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]
"""Stands in the description of the API; `_last_event` reads it, so that any malformed id is a 400."""
LOOK_FOR_CLIENT_S = 1.0


@router.post("/chat/stream", responses={200: {"content": {"text/event-stream": {}}}})
async def ask_streamed(
    services: ServicesDep,
    who: ReaderDep,
    body: JsonBody[ChatRequest],
    idempotency_key: IdempotencyKey = None,
) -> EventStream:
    """Ask; the answer comes as server-sent events. Closing the connection does not stop the run."""
    run = await _start(services, who, body, idempotency_key)
    return _events(services, run, START)


@router.post("/chat")
async def ask(
    request: Request,
    services: ServicesDep,
    who: ReaderDep,
    body: JsonBody[ChatRequest],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Ask; the whole answer comes at once. Nobody follows for a client that has gone."""
    run = await _start(services, who, body, idempotency_key)
    shown = Transcript()
    async with aclosing(services.runs.follow(run, idle_s=LOOK_FOR_CLIENT_S)) as batches:
        async for batch in batches:
            for entry in batch:
                shown.add(entry.event)
            if not batch and await request.is_disconnected():
                return Response(status_code=499)
    if isinstance(failed := shown.terminal, Failed):
        raise revived(failed.code, failed.message, retry_after_s=failed.retry_after_s)
    return Response(orjson.dumps(_whole(run, shown)), media_type="application/json")


@router.get("/runs/{run_id}/events", responses={200: {"content": {"text/event-stream": {}}}})
async def follow(
    request: Request, services: ServicesDep, who: ReaderDep, run_id: str, last_event_id: LastEventId = None
) -> Response:
    """Follow a run from its start, or resume it after `Last-Event-ID`."""
    after = _last_event(request)
    resuming = after != START
    try:
        run = await services.runs.get(who, run_id)
        if resuming and await services.runs.at_end(run, after):
            services.metrics.resumed("ended")
            return Response(status_code=204)
    except LibriError:
        if resuming:
            services.metrics.resumed("gone")
        raise
    if resuming:
        services.metrics.resumed("ok")
    return _events(services, run, after)


@router.delete("/runs/{run_id}", status_code=204)
async def stop(services: ServicesDep, who: ReaderDep, run_id: str) -> None:
    """Stop a run; stopping what has ended is no error."""
    await services.runs.stop(who, run_id)


@router.post("/runs/{run_id}/feedback", status_code=204)
async def rate(services: ServicesDep, who: ReaderDep, run_id: str, body: JsonBody[Feedback]) -> None:
    """Rate an answer; a later rating replaces."""
    await services.runs.rate(who, run_id, body.rating, body.reason)


async def _start(services: Services, who: Principal, body: ChatRequest, key: str | None) -> Run:
    idempotency = Idempotency(key, sha256(body.model_dump_json().encode()).hexdigest()) if key else None
    return await services.runs.start(who, body.asked(), idempotency)


def _events(services: Services, run: Run, after: EntryId) -> EventStream:
    server = services.settings.server
    batches = services.runs.follow(run, after, idle_s=server.heartbeat_s)
    return EventStream(
        frames(batches),
        send_timeout_s=server.send_timeout_s,
        leaving=services.leaving,
        while_open=services.metrics.event_stream(),
    )


def _last_event(request: Request) -> EntryId:
    """What the client has seen; whoever says it in any other way would see it again, so that is refused.

    Raises:
        InvalidRequest: More than one is named, or one outside the header, or it is none.
    """
    if any(name.lower().replace("-", "").replace("_", "") == "lasteventid" for name in request.query_params):
        raise InvalidRequest("Last-Event-ID is a header of the request, not a part of its address")
    said = set(request.headers.getlist("last-event-id"))
    if len(said) > 1:
        raise InvalidRequest("there is more than one Last-Event-ID")
    text = next(iter(said), "")
    try:
        return EntryId.parse(text) if text else START
    except ValueError as exc:
        raise InvalidRequest("Last-Event-ID is <fence>-<seq>") from exc


def _whole(run: Run, shown: Transcript) -> dict[str, Any]:
    terminal, started = shown.terminal, shown.started
    assert isinstance(terminal, Done)
    assert started is not None
    return {
        "run_id": run.id,
        "conversation_id": started.conversation_id,
        "model": started.model,
        "variant": started.variant,
        "cache": started.cache,
        "answer": shown.answer,
        **({"thinking": shown.thinking} if shown.thinking else {}),
        "sources": shown.sources,
        "citations": terminal.citations,
        "finish_reason": terminal.finish_reason,
        "usage": terminal.usage,
        "timings": terminal.timings,
        "degraded": terminal.degraded,
    }
