"""The port through which an operator manages the models of a server: look, fetch, remove."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from backend.engines.base import Endpoint, LoadedModel, ModelInfo


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


class ModelControl(Protocol):
    """Manages the models of servers. Holds no state per server.

    What a server said of its failure rides on the error as a note (`__notes__`), for an operator's eyes only.

    Raises:
        EngineUnreachable: Every method; refused, reset before the first byte, or 5xx.
        EngineTimeout: Every method; no answer in time, or work that stands still.
        ModelMissing: Neither the server nor, for `pull`, the registry has such a model.
        EngineRejected: The request itself is refused.
        EngineTruncated: `pull`: it ended without saying that it worked.
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

    async def delete(self, endpoint: Endpoint, name: str) -> None:
        """Remove a model from the server's disk, and from its memory."""
