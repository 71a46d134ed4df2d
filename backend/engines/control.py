"""The port through which an operator manages the models of a server: look, fetch, make, remove."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from backend.engines.base import Endpoint, LoadedModel, ModelInfo

Option = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """All that a server tells of one model.

    Attributes:
        capabilities: What it can do ("completion", "thinking", "tools", "embedding").
        options: Its own defaults for sampling and the like, a line each.
        license: Whole text.
    """

    info: ModelInfo
    family: str = ""
    capabilities: tuple[str, ...] = ()
    options: str = ""
    license: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long piece of work has come.

    Attributes:
        step: What the server is doing, in its own words.
        total_bytes: Of all parts known by now: it may grow. 0 while nothing is being moved.
        completed_bytes: Of those, done.
    """

    step: str
    total_bytes: int = 0
    completed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a new model is made of.

    Attributes:
        base: A model that the server has, or may fetch.
        adapters: File name to digest ("sha256:…") of a LoRA that the server holds; Ollama takes one.
        template, system: In place of the base's; "" keeps them.
        quantisation: "q8_0", "q4_K_S" or "q4_K_M", from a base of 16 or 32 bits; "" leaves it as it is.
        options: Defaults for sampling and the like.
    """

    base: str
    adapters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    template: str = ""
    system: str = ""
    quantisation: str = ""
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))


class ModelControl(Protocol):
    """Manages the models of servers. Holds no state per server.

    What a server said of its failure rides on the error as a note (`__notes__`), for an operator's eyes only.

    Raises:
        EngineUnreachable: Every method; refused, reset before the first byte, or 5xx.
        EngineTimeout: Every method; no answer in time, or work that stands still.
        ModelMissing: Neither the server nor, for `pull`, the registry has such a model.
        EngineRejected: The request itself is refused.
        EngineTruncated: `pull` and `create`: they ended without saying that it worked.
        EngineError: Every method; anything else.
    """

    async def list(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """Every model on the server's disk, those too that only embed."""

    async def ps(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """Models in memory; one that is being loaded is not among them."""

    async def show(self, endpoint: Endpoint, name: str) -> ModelDetails:
        """All about one model."""

    def pull(self, endpoint: Endpoint, name: str) -> AsyncGenerator[Progress, None]:
        """Fetch a model from its registry, or bring it up to date; ends when it is there.

        Closing the iterator stops the transfer; what has come is kept, and a later pull goes on from it.
        """

    def create(self, endpoint: Endpoint, name: str, recipe: Recipe) -> AsyncGenerator[Progress, None]:
        """Make a model out of another; ends when it is there."""

    async def delete(self, endpoint: Endpoint, name: str) -> None:
        """Remove a model from the server's disk, and from its memory."""
