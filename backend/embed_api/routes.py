"""The service's routes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response

from backend.core.errors import InvalidRequest, ModelNotOffered
from backend.embed_api.access import CallerDep, RoomDep, ScraperDep
from backend.embed_api.schemas import EmbeddingsBody, read
from backend.embed_api.work import measured, while_connected
from backend.embedding.base import SPECIAL_TOKENS, Vectors
from backend.embedding.desk import lane_of
from backend.embedding.models import Model
from backend.embedding.room import Room
from backend.embedding.wire import EMBEDDER_HEADER, fingerprint

router = APIRouter()

_MANY_CHARS: Final = 4000
"""Counting the tokens of more takes milliseconds, which are not the event loop's."""


@router.get("/health")
async def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(room: RoomDep) -> dict[str, str]:
    """Vectors can be had: the model was loaded before the service began to listen."""
    return {"status": "ok"}


@router.get("/metrics")
async def metrics(room: RoomDep, _: ScraperDep) -> Response:
    """Prometheus text."""
    body, content_type = room.metrics.render(room.desk.waiting)
    return Response(body, headers={"content-type": content_type})


@router.get("/v1/models")
async def models(room: RoomDep, _: CallerDep) -> dict[str, Any]:
    """The one model; `embedder` is the id that indexes and calibrations know it by."""
    model = room.model
    shown = {
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": "libriassist",
        "embedder": model.id,
        "dimensions": model.dimensions,
        "max_tokens": model.max_tokens,
    }
    return {"object": "list", "data": [shown]}


@router.post("/v1/embeddings")
async def embeddings(request: Request, room: RoomDep, _: CallerDep) -> Response:
    """Vectors of texts, in order."""
    asked = read(await request.body(), EmbeddingsBody)
    _check(asked, room.model)
    lane, work = lane_of(asked.texts, asked.purpose), room.desk.embed(asked.texts, asked.purpose)
    vectors = await while_connected(request, measured(room.metrics, lane, len(asked.texts), work))
    if vectors is None:
        return Response(status_code=499)
    tokens = await _tokens(room, asked.texts)
    body = _body(asked, room.model, vectors, tokens)
    headers = {EMBEDDER_HEADER: fingerprint(room.model.id)}
    return Response(body, headers=headers, media_type="application/json")


def _check(asked: EmbeddingsBody, model: Model) -> None:
    if asked.model.rsplit("/", 1)[-1] != model.name and asked.model not in (model.id, model.name):
        raise ModelNotOffered("another model is served here: GET /v1/models names it")
    if asked.dimensions is not None and asked.dimensions != model.dimensions:
        raise InvalidRequest(f"dimensions: this model has {model.dimensions}, and they are not cut")


async def _tokens(room: Room, texts: Sequence[str]) -> int:
    """What the model saw of them."""

    def counted() -> int:
        count, most = room.desk.embedder.count_tokens, room.model.max_tokens
        return sum(min(count(text) + SPECIAL_TOKENS, most) for text in texts)

    if sum(map(len, texts)) <= _MANY_CHARS:
        return counted()
    return await asyncio.to_thread(counted)


def _body(asked: EmbeddingsBody, model: Model, vectors: Vectors, tokens: int) -> bytes:
    as_text = asked.encoding_format == "base64"
    rows = vectors.astype("<f4")
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(row) if as_text else row}
        for index, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    whole = {"object": "list", "data": data, "model": model.name, "usage": usage}
    return orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)


def _base64(row: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    return base64.b64encode(row.tobytes()).decode()
