"""The model servers alone, for commands that look at them and fill them; nothing is loaded for readers."""

from __future__ import annotations

from dataclasses import dataclass

from backend.config import Settings
from backend.core.instances import OLLAMA, InstanceSpec
from backend.engines.base import Endpoint, Lists
from backend.engines.control import ModelControl
from backend.engines.ollama_control import ControlBounds, OllamaControl
from backend.engines.openai_chunks import refused
from backend.engines.openai_lists import OpenAILists
from backend.engines.plain_call import PlainCaller
from backend.engines.renamed import RenamedLists
from backend.wiring.model_specs import declared, endpoint_of


@dataclass(frozen=True, slots=True)
class Listed:
    """A server that only tells what it has."""

    endpoint: Endpoint
    lists: Lists


@dataclass(frozen=True, slots=True)
class ModelServers:
    """The model servers alone, to look at and to fill.

    Attributes:
        managed: Those whose models `control` manages.
        others: Those that only tell what they have.
    """

    control: ModelControl
    managed: tuple[Endpoint, ...]
    others: tuple[Listed, ...]


def model_servers(settings: Settings) -> ModelServers:
    """The model servers that the settings name; needs no data folder, so it works beside a running server."""
    connect_s, specs = settings.engine.connect_s, declared(settings)
    lists = OpenAILists(PlainCaller(refused, connect_s).json)
    return ModelServers(
        control=OllamaControl(ControlBounds(connect_s=connect_s)),
        managed=tuple(endpoint_of(spec) for spec in specs if spec.kind == OLLAMA),
        others=tuple(_listed(spec, lists) for spec in specs if spec.kind != OLLAMA),
    )


def _listed(spec: InstanceSpec, lists: Lists) -> Listed:
    named = RenamedLists(lists, spec.served_names) if spec.served_names else lists
    return Listed(endpoint_of(spec), named)
