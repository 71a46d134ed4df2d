"""An embedder that runs its model in this process: what it is made of takes half a second to import."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from backend.config import Settings, variable
from backend.core.clock import Clock
from backend.core.errors import EmbedderUnavailable, Misconfigured
from backend.embedding.base import Encoder
from backend.embedding.batching import BatchingEmbedder
from backend.embedding.fetch import from_hub
from backend.embedding.local_onnx import OnnxEncoder, OnnxRanker
from backend.embedding.models import Model, find, find_ranker, local_source
from backend.embedding.ranking import Ranking


def open_local(stack: AsyncExitStack, settings: Settings, clock: Clock) -> BatchingEmbedder:
    """The embedder, closed with `stack`; nothing is loaded yet.

    Raises:
        EmbedderUnavailable: There is no such model.
        Misconfigured: What runs it is not installed.
    """
    section = settings.embedding
    model = find_model(settings)
    if section.runtime == "torch" and find_spec("sentence_transformers") is None:
        name = variable("embedding", "runtime")
        raise Misconfigured(f"{name}=torch needs torch: install libriassist[torch], or write onnx")
    load = partial(_load_encoder, settings, model)
    embedder = BatchingEmbedder(
        model, load, clock=clock, batch_size=section.batch_size, queue_limit=section.queue_limit
    )
    stack.callback(embedder.close)
    return embedder


def find_model(settings: Settings) -> Model:
    """The model that the settings name; nothing of it is read yet.

    Raises:
        EmbedderUnavailable: There is no such model.
    """
    try:
        return find(settings.embedding.model, settings.embedding.precision)
    except EmbedderUnavailable as exc:
        raise EmbedderUnavailable(f"{variable('embedding', 'model')}: {exc.message}") from exc


def _load_encoder(settings: Settings, model: Model) -> Encoder:
    models_dir = settings.models_dir
    source = local_source(model, from_hub)
    if settings.embedding.runtime == "torch":
        torch = import_module("backend.embedding.local_torch")  # three seconds and 500 MB
        encoder: Encoder = torch.TorchEncoder(model, source, threads=settings.embedding.threads)
        return encoder
    return OnnxEncoder(model, source, models_dir, threads=settings.embedding.threads)


def open_ranking(stack: AsyncExitStack, settings: Settings) -> Ranking | None:
    """The cross-encoder that the settings name, if they do; nothing is loaded yet.

    Raises:
        EmbedderUnavailable: There is no such model.
    """
    section = settings.embedding
    if not section.rerank_model:
        return None
    try:
        model = find_ranker(Path(section.rerank_model), section.precision)
    except EmbedderUnavailable as exc:
        raise EmbedderUnavailable(f"{variable('embedding', 'rerank_model')}: {exc.message}") from exc
    load = partial(OnnxRanker, model, settings.models_dir, threads=section.threads)
    ranking = Ranking(
        model,
        load,
        batch_size=section.batch_size,
        limit=section.queue_limit,
        within_s=section.passages_timeout_s,
    )
    stack.callback(ranking.close)
    return ranking
