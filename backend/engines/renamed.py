"""A server that calls its models otherwise than the pool does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace

from backend.engines.base import Endpoint, Engine, GenerationRequest, Lists, LoadedModel, ModelInfo, Piece


@dataclass(frozen=True, slots=True)
class RenamedLists:
    """Lists in which models go by the pool's names; what has no other name keeps its own.

    Args:
        served_names: What the server calls a model, by the pool's name for it.
    """

    lists: Lists
    served_names: Mapping[str, str]

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """See `Lists.models`."""
        found = await self.lists.models(endpoint)
        return tuple(replace(one, name=name) for one in found for name in self._here(one.name))

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """See `Lists.loaded`."""
        found = await self.lists.loaded(endpoint)
        return tuple(replace(one, name=name) for one in found for name in self._here(one.name))

    def _here(self, name: str) -> list[str]:
        return [ours for ours, theirs in self.served_names.items() if theirs == name] or [name]


@dataclass(frozen=True, slots=True)
class RenamedEngine:
    """An engine whose models go by the pool's names; what has no other name keeps its own.

    Args:
        served_names: What the server calls a model, by the pool's name for it.
    """

    engine: Engine
    served_names: Mapping[str, str]

    @property
    def name(self) -> str:
        """That of the engine itself."""
        return self.engine.name

    def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """See `Engine.generate`."""
        return self.engine.generate(endpoint, replace(request, model=self._there(request.model)))

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """See `Lists.models`."""
        return await RenamedLists(self.engine, self.served_names).models(endpoint)

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """See `Lists.loaded`."""
        return await RenamedLists(self.engine, self.served_names).loaded(endpoint)

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        """See `Engine.load`."""
        await self.engine.load(endpoint, self._there(model), within_s=within_s)

    def _there(self, name: str) -> str:
        return self.served_names.get(name, name)
