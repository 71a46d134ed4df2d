"""The embedder of a process: its model here, or a service elsewhere."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from importlib import import_module

from backend.config import Settings, variable
from backend.core.clock import Clock
from backend.core.errors import LibriError, Misconfigured
from backend.embedding.base import Embedder
from backend.embedding.dialects import DIALECTS
from backend.embedding.remote import RemoteEmbedder
from backend.embedding.served import Served, of_another, of_our_own, spaced
from backend.engines.base import Endpoint
from backend.infra.http import open_session

_IDLE_S = 15.0
"""Much less than any server keeps a connection; a new one for each question costs a millisecond."""


async def open_embedder(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Embedder:
    """The embedder, closed with `stack`; nothing is loaded or asked yet.

    Raises:
        EmbedderUnavailable: There is no such model.
        Misconfigured: What runs it is not installed, or too little is said of a service's model.
    """
    if settings.embedding.url:
        return await _remote(stack, settings)
    local: Embedder = import_module("backend.wiring.local_embedder").open_local(stack, settings, clock)
    return local


async def _remote(stack: AsyncExitStack, settings: Settings) -> Embedder:
    section = settings.embedding
    embedder = RemoteEmbedder(
        _served(settings),
        DIALECTS[section.kind],
        Endpoint(section.url, section.key.get_secret_value()),
        await stack.enter_async_context(open_session(idle_s=_IDLE_S)),
        timeout_s=section.timeout_s,
        passages_timeout_s=section.passages_timeout_s,
    )
    stack.push_async_callback(embedder.close)
    return embedder


def _served(settings: Settings) -> Served:
    section = settings.embedding
    length, most = section.dimensions, section.max_tokens
    if section.kind == "libriassist":
        model = of_our_own(section.model, section.precision, length, most)
    else:
        prefixes = spaced(section.query_prefix), spaced(section.passage_prefix)
        model = of_another(section.kind, section.model, length, most, prefixes)
    if model is None:
        name = variable("embedding", "dimensions")
        raise Misconfigured(f"{name} is needed: the length of the vectors of a model that is not known here")
    if length not in (None, model.dimensions):
        name = variable("embedding", "dimensions")
        raise Misconfigured(f"{name}={length}: this model has {model.dimensions}; leave it out")
    return model


async def warm(embedder: Embedder) -> None:
    """Load the model now, if that is possible."""
    with suppress(LibriError):  # said by the embedder's check, and at the first question
        await embedder.embed_queries(["warm"])
