"""The embedder of a process: its model here, or a service elsewhere."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from importlib import import_module

from backend.config import Settings
from backend.core.clock import Clock
from backend.core.errors import LibriError
from backend.embedding.base import Embedder


async def open_embedder(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Embedder:
    """The embedder, closed with `stack`; nothing is loaded or asked yet.

    Raises:
        EmbedderUnavailable: There is no such model.
        Misconfigured: What runs it is not installed.
    """
    local: Embedder = import_module("backend.wiring.local_embedder").open_local(stack, settings, clock)
    return local


async def warm(embedder: Embedder) -> None:
    """Load the model now, if that is possible."""
    with suppress(LibriError):  # said by the embedder's check, and at the first question
        await embedder.embed_queries(["warm"])
