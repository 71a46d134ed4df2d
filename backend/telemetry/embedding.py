"""Metrics of the embedding service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class EmbeddingMetrics:
    """What the service did; one per process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "libri_embedding_requests", "Requests ended.", ("lane", "result"), registry=self._registry
        )
        self._texts = Counter(
            "libri_embedding_texts", "Texts embedded or ranked.", ("lane",), registry=self._registry
        )
        self._duration = Histogram(
            "libri_embedding_duration_seconds", "From a request to its answer.", ("lane",),
            registry=self._registry, buckets=_SECONDS,
        )  # fmt: skip
        self._waiting = Gauge(
            "libri_embedding_waiting_texts", "Texts that are here now.", ("lane",), registry=self._registry
        )

    def done(self, lane: str, texts: int, seconds: float) -> None:
        """A request was answered, with vectors or scores."""
        self._requests.labels(lane, "ok").inc()
        self._texts.labels(lane).inc(texts)
        self._duration.labels(lane).observe(seconds)

    def ended(self, lane: str, result: str) -> None:
        """A request ended without: `left`, or the code of its error."""
        self._requests.labels(lane, result).inc()

    def render(self, waiting: Mapping[str, int]) -> tuple[bytes, str]:
        """The exposition and its content type."""
        for lane, texts in waiting.items():
            self._waiting.labels(lane).set(texts)
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
