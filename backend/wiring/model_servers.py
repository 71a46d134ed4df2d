"""The model servers that the settings name, and those that operators add: how each is spoken to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aiohttp

from backend.config import Settings
from backend.core.durations import go_seconds
from backend.core.instances import OLLAMA, InstanceSpec, Kind
from backend.engines.base import Engine
from backend.engines.dialects import DIALECTS
from backend.engines.ollama import OllamaEngine
from backend.engines.openai_compat import OpenAICompatEngine
from backend.engines.renamed import RenamedEngine
from backend.pool.base import Instance
from backend.wiring.model_specs import declared, endpoint_of

_KEPT_S = 10.0
"""A model that Ollama keeps for less is gone before anybody has looked: each question loads it anew."""


def engines(settings: Settings, session: aiohttp.ClientSession) -> dict[Kind, Engine]:
    """The ways to speak to model servers: one for each kind."""
    section = settings.engine
    ollama = OllamaEngine(
        session,
        context_tokens=section.context_tokens,
        keep_alive=section.ollama_keep_alive,
        keeps_loaded=_is_kept(section.ollama_keep_alive),
    )
    return {kind: OpenAICompatEngine(session, dialect=DIALECTS[kind]) for kind in DIALECTS} | {OLLAMA: ollama}


def configured(settings: Settings, engines: Mapping[Kind, Engine]) -> Sequence[Instance]:
    """The instances that the settings name, in a stable order; what cannot be one is left out and logged."""
    return [made(engines, spec) for spec in declared(settings)]


def made(engines: Mapping[Kind, Engine], spec: InstanceSpec) -> Instance:
    """The instance that a spec describes.

    Raises:
        InvalidRequest: It describes none; the message holds no credential.
    """
    spec.check()
    engine = engines[spec.kind]
    return Instance(
        id=spec.id,
        endpoint=endpoint_of(spec),
        engine=RenamedEngine(engine, spec.served_names) if spec.served_names else engine,
        slots=spec.slots,
        models=spec.models,
        models_at_once=spec.models_at_once,
        loose_names=spec.kind == OLLAMA,
    )


def _is_kept(keep_alive: int | str) -> bool:
    seconds = keep_alive if isinstance(keep_alive, int) else go_seconds(keep_alive)
    return seconds is None or seconds < 0 or seconds >= _KEPT_S
