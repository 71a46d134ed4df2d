"""Passages in the order of how well they answer a question."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response

from backend.core.errors import ModelNotOffered
from backend.embed_api.access import CallerDep, RoomDep
from backend.embed_api.schemas import RerankBody, read
from backend.embed_api.work import measured, while_connected
from backend.embedding.ranking import Ranking
from backend.embedding.room import Room

router = APIRouter()


@router.post("/rerank")
@router.post("/v1/rerank")
async def rerank(request: Request, room: RoomDep, _: CallerDep) -> Response:
    """Scores, best first: in `results`, or a bare list for who asks as TEI's clients do."""
    ranking = _offered(room)
    asked = read(await request.body(), RerankBody)
    if asked.model is not None and asked.model.rsplit("/", 1)[-1] != ranking.model.name:
        raise ModelNotOffered("another rerank model is served here: leave `model` out")
    texts = asked.documents or asked.texts or ()
    work = measured(room.metrics, "rerank", len(texts), ranking.scores(asked.query, texts))
    found = await while_connected(request, work)
    if found is None:
        return Response(status_code=499)
    return Response(orjson.dumps(_shown(asked, ranking, found)), media_type="application/json")


def _offered(room: Room) -> Ranking:
    if room.ranking is None:
        raise ModelNotOffered(
            "no rerank model is served here: set LIBRI_EMBEDDING__RERANK_MODEL to its folder"
        )
    return room.ranking


def _shown(asked: RerankBody, ranking: Ranking, logits: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    scores = logits if asked.raw_scores else 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -80, 80)))
    best = np.argsort(-logits, kind="stable")[: asked.top_n or None].tolist()
    if asked.texts is not None:
        texts = asked.texts
        return [
            {"index": at, "score": float(scores[at])} | ({"text": texts[at]} if asked.return_text else {})
            for at in best
        ]
    documents = asked.documents or ()
    results = [
        {"index": at, "relevance_score": float(scores[at])}
        | ({"document": {"text": documents[at]}} if asked.return_documents else {})
        for at in best
    ]
    return {"object": "list", "model": ranking.model.name, "results": results}
