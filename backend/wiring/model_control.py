"""The model servers alone, for commands that look at them and fill them; no server imports what they need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backend.config import Settings
from backend.core.instances import OLLAMA
from backend.engines.base import Endpoint
from backend.engines.control import ModelControl
from backend.engines.ollama_control import ControlBounds, OllamaControl
from backend.infra.http import open_session
from backend.pool.base import Instance
from backend.wiring.model_servers import configured, engines


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
            control=OllamaControl(ControlBounds(connect_s=settings.engine.connect_s)),
            managed=tuple(one.endpoint for one in found if one.engine.name == OLLAMA),
            others=tuple(one for one in found if one.engine.name != OLLAMA),
        )
