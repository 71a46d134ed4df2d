"""Every metric, in one object that owns its registry.

Names and labels of the OpenTelemetry GenAI conventions where they exist, `libri_` for the rest. No label
holds a user, a key or a question; a model's name is one only for the first `MODELS` seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from backend.core.types import Usage
from backend.telemetry.pool import PoolGauges, PoolSeen
from backend.telemetry.shared import SharedCounters

# The conventions stop at 10 s; waiting for a slot takes minutes under load.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
TOKENS = tuple(4**n for n in range(14))
MODELS = 64

ResumeResult = Literal["ok", "ended", "gone"]
RetryPhase = Literal["before_first_token", "after"]
IngestResult = Literal["done", "unchanged", "failed"]

_CALL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_US = ("chat", "libriassist")


class Metrics:
    """What happened, counted; one per process.

    Args:
        shared: Where it counts so that other processes tell it too; None: for itself.
    """

    def __init__(self, shared: SharedCounters | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        values.ValueClass = values.MutexValue if shared is None else _numbered(shared.number)
        self._shared = shared
        self.registry = CollectorRegistry()
        self._models: set[str] = set()
        self._answers()
        self._pool()
        self._ingest()
        self._streams = Gauge(
            "libri_event_streams",
            "Event streams that are open now.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._loops = self._counter("libri_loop_failures", "Background loops that raised.", "loop")

    def render(self, pool: PoolSeen) -> tuple[bytes, str]:
        """The exposition of all metrics (those of all workers of the replica) and its content type."""
        registry = self.registry
        if self._shared is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._shared.folder))  # type: ignore[no-untyped-call]
        gauges = PoolGauges(pool, lambda model: self._call(model)[2])
        return generate_latest(registry) + generate_latest(gauges), CONTENT_TYPE_LATEST

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS
    ) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)

    def _answers(self) -> None:
        self._first_token = self._histogram(
            "gen_ai_server_time_to_first_token_seconds", "From the question to the first word shown.", *_CALL
        )
        self._duration = self._histogram(
            "gen_ai_server_request_duration_seconds", "From the question to the end.", *_CALL
        )
        self._usage = self._histogram(
            "gen_ai_client_token_usage",
            "Tokens of a generation, as the engine counted them.",
            *_CALL,
            "gen_ai_token_type",
            buckets=TOKENS,
        )
        self._runs = self._counter("libri_runs", "Generations ended, by finish reason or error.", "result")
        self._stage = self._histogram("libri_stage_duration_seconds", "Time of one stage.", "stage")
        self._joined = self._counter("libri_joined", "Runs that joined a generation under way.")
        self._takeovers = self._counter("libri_takeovers", "Answers gone on with that their writer had left.")
        self._resumes = self._counter("libri_resumes", "Streams asked for again.", "result")
        self._ack = self._histogram("libri_log_ack_seconds", "Time until the shared log had an entry.")

    def _pool(self) -> None:
        self._wait = self._histogram("libri_queue_wait_seconds", "Time until a slot was granted.")
        self._retries = self._counter("libri_retries", "Attempts made again elsewhere.", "phase")

    def _ingest(self) -> None:
        self._documents = self._counter("libri_ingest_documents", "Documents read.", "result")
        self._passages = self._counter("libri_ingest_passages", "Passages written to the indexes.")
        self._reading = self._histogram("libri_ingest_duration_seconds", "Time of one document.")

    def _call(self, model: str) -> tuple[str, str, str]:
        if model not in self._models and len(self._models) >= MODELS:
            return *_US, "other"
        self._models.add(model)
        return *_US, model

    def first_token(self, model: str, seconds: float) -> None:
        """The first word of an answer or its thinking was shown."""
        self._first_token.labels(*self._call(model)).observe(seconds)

    def run_ended(self, model: str, result: str, seconds: float) -> None:
        """A generation ended; `result` is its finish reason or error code."""
        self._duration.labels(*self._call(model)).observe(seconds)
        self._runs.labels(result).inc()

    def tokens(self, model: str, usage: Usage) -> None:
        """What a generation cost; nothing where the engine did not say."""
        for kind, count in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
            if count is not None:
                self._usage.labels(*self._call(model), kind).observe(count)

    def stage(self, stage: str, seconds: float) -> None:
        """A stage (`embed`, `retrieve`, `rerank`, `generate`) took so long."""
        self._stage.labels(stage).observe(seconds)

    def joined(self) -> None:
        """A run joined a generation that another had begun."""
        self._joined.inc()

    def taken_over(self) -> None:
        """An answer goes on that another writer had begun, and left."""
        self._takeovers.inc()

    @contextmanager
    def event_stream(self) -> Iterator[None]:
        """An event stream is open meanwhile."""
        self._streams.inc()
        try:
            yield
        finally:
            self._streams.dec()

    def resumed(self, result: ResumeResult) -> None:
        """A stream was asked for again."""
        self._resumes.labels(result).inc()

    def log_acknowledged(self, seconds: float) -> None:
        """The log that processes share took an entry."""
        self._ack.observe(seconds)

    def queue_wait(self, seconds: float) -> None:
        """A slot was granted after so long."""
        self._wait.observe(seconds)

    def retried(self, phase: RetryPhase) -> None:
        """An attempt that failed in `phase` is made again elsewhere."""
        self._retries.labels(phase).inc()

    def loop_failed(self, loop: str) -> None:
        """A background loop raised; it is begun again."""
        self._loops.labels(loop).inc()

    def ingested(self, result: IngestResult, *, passages: int = 0, seconds: float | None = None) -> None:
        """A document was read, was unchanged, or could not be read."""
        self._documents.labels(result).inc()
        self._passages.inc(passages)
        if seconds is not None:
            self._reading.observe(seconds)


def _numbered(number: int) -> type:
    """Values in the files of this number; they go on from what is written there."""
    return values.MultiProcessValue(lambda: number)  # type: ignore[no-any-return, no-untyped-call]
