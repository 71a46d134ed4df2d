"""For operators: health, configuration, metrics; and which models there are."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response

from backend.api.deps import OperatorDep, ReaderDep, ServicesDep
from backend.api.page_markdown import to_html
from backend.api.schemas import MarkdownText, ModelList, ModelShown, OptionDefaults
from backend.api.scraping import ScraperDep
from backend.api.strict import JsonBody
from backend.core.model_names import QUOTING
from backend.pool.model_list import named

router = APIRouter(tags=["operations"])


@router.get("/health")
async def alive() -> dict[str, str]:
    """The process answers; says nothing of what it stands on."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(services: ServicesDep, response: Response) -> dict[str, Any]:
    """Whether questions can be answered, as of the last second; 503 if not. Degraded is ready."""
    found = await services.readiness()
    broken = [name for name, health in found.items() if not health.ok]
    status = "ok" if not broken else "degraded"
    if any(found[name].needed for name in broken):
        response.status_code, status = 503, "unavailable"
    return {"status": status, "broken": broken}


@router.get("/health/deep")
async def deep(services: ServicesDep, who: OperatorDep, response: Response) -> dict[str, Any]:
    """Each thing we stand on, with its latency in seconds."""
    found = await services.checked()
    if any(health.needed and not health.ok for health in found.values()):
        response.status_code = 503
    return {"checks": {name: asdict(health) for name, health in found.items()}}


@router.get("/config")
async def config(services: ServicesDep, who: OperatorDep) -> dict[str, Any]:
    """The settings in force; secrets are masked."""
    return services.settings.model_dump(mode="json")


@router.get("/metrics")
async def metrics(services: ServicesDep, who: ScraperDep) -> Response:
    """Prometheus text, for operators and for the scrapers that the settings name."""
    pool = await services.pool.status()
    body, content_type = await asyncio.to_thread(services.metrics.render, pool)  # of workers: up to 0.3 s
    return Response(body, headers={"content-type": content_type})


@router.get("/api/v1/models")
async def models(services: ServicesDep, who: ReaderDep) -> ModelList:
    """Models that can be asked for, and the one that answers by default; at most ten seconds old."""
    offered, chat = await services.pool.models(), services.settings.chat
    default = services.settings.engine.model
    first = offered[0].info.name if offered else QUOTING
    return ModelList(
        models=tuple(ModelShown.of(model) for model in offered),
        default=(named(default, offered) or default) if default else first,
        options=OptionDefaults(temperature=chat.temperature, max_tokens=chat.max_tokens),
    )


@router.post("/api/v1/markdown")
async def markdown(who: ReaderDep, body: JsonBody[MarkdownText]) -> dict[str, str]:
    """Sanitised HTML of an answer's Markdown, for the page."""
    return {"html": await asyncio.to_thread(to_html, body.text)}
