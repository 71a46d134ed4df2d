"""The model servers that the settings name, and those that operators add: how each is spoken to."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from backend.config import Settings, base_url, variable
from backend.core.addresses import complaint, credentials, masked
from backend.core.durations import go_seconds
from backend.core.errors import InvalidRequest
from backend.engines.base import Endpoint, Engine
from backend.engines.control import ModelControl
from backend.engines.dialects import DIALECTS
from backend.engines.ollama import OllamaEngine
from backend.engines.ollama_control import ControlBounds, OllamaControl
from backend.engines.openai_compat import OpenAICompatEngine
from backend.infra.http import open_session
from backend.pool.base import Instance

log = logging.getLogger(__name__)

_KEPT_S = 10.0
"""A model that Ollama keeps for less is gone before anybody has looked: each question loads it anew."""


@dataclass(frozen=True, slots=True)
class ModelServers:
    """The model servers alone, to look at and to fill.

    Attributes:
        managed: Those whose models `control` manages.
        others: Those that only tell what they have.
    """

    control: ModelControl
    managed: tuple[Endpoint, ...]
    others: tuple[Instance, ...]


@asynccontextmanager
async def open_model_servers(settings: Settings) -> AsyncIterator[ModelServers]:
    """The model servers that the settings name; needs no data folder, so it works beside a running server."""
    async with open_session() as session:
        found = configured(settings, engines(settings, session))
        yield ModelServers(
            control=control(settings),
            managed=tuple(one.endpoint for one in found if isinstance(one.engine, OllamaEngine)),
            others=tuple(one for one in found if not isinstance(one.engine, OllamaEngine)),
        )


def engines(settings: Settings, session: aiohttp.ClientSession) -> dict[str, Engine]:
    """The ways to speak to model servers, by name."""
    section = settings.engine
    return {
        "openai": OpenAICompatEngine(session, dialect=DIALECTS[section.openai_dialect]),
        "ollama": OllamaEngine(
            session,
            context_tokens=section.context_tokens,
            keep_alive=section.ollama_keep_alive,
            keeps_loaded=_is_kept(section.ollama_keep_alive),
            control=control(settings),
        ),
    }


def configured(settings: Settings, engines: Mapping[str, Engine]) -> Sequence[Instance]:
    """The instances that the settings name, in a stable order; what cannot be one is left out and logged."""
    section = settings.engine
    urls = {"openai": section.openai_urls, "ollama": section.ollama_urls}
    served = [(kind, url) for kind in urls if section.backend in ("auto", kind) for url in urls[kind]]
    found = []
    for number, (kind, url) in enumerate(served, 1):
        try:
            found.append(made(settings, engines, f"{kind}-{number}", kind, url, section.slots))
        except InvalidRequest as exc:
            name = variable("engine", f"{kind}_urls")
            log.error("%s: %s is left out: %s", name, masked(url), exc.message)
    return found


def made(
    settings: Settings, engines: Mapping[str, Engine], id: str, kind: str, url: str, slots: int
) -> Instance:
    """An instance of a kind at an address.

    Raises:
        InvalidRequest: There is no such kind of either, or two credentials; the message holds neither.
    """
    if kind not in engines or complaint(url):
        raise InvalidRequest("an instance is ollama or openai, at an http address")
    key = settings.engine.openai_api_key.get_secret_value() if kind == "openai" else ""
    if key and credentials(url):
        name = variable("engine", "openai_api_key")
        raise InvalidRequest(f"its address has credentials, and {name} is set: a server takes one of the two")
    endpoint = Endpoint(base_url(url), key)
    at_once, loose = settings.engine.models_at_once, kind == "ollama"
    return Instance(id, endpoint, engines[kind], slots, models_at_once=at_once, loose_names=loose)


def control(settings: Settings) -> OllamaControl:
    """Control of the models of Ollama instances."""
    return OllamaControl(ControlBounds(connect_s=settings.engine.connect_s))


def _is_kept(keep_alive: int | str) -> bool:
    seconds = keep_alive if isinstance(keep_alive, int) else go_seconds(keep_alive)
    return seconds is None or seconds < 0 or seconds >= _KEPT_S
