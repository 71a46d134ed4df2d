"""The pool as gauges, made from its state at each scrape: what is no longer there is no longer told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

InstanceStatus = Literal["closed", "half_open", "open"]
_STATES: Mapping[InstanceStatus, int] = {"closed": 0, "half_open": 1, "open": 2}


class InstanceSeen(Protocol):
    """What is read of an instance; see `pool.base.InstanceStatus`."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def slots(self) -> int:
        """Generations it serves at once."""

    @property
    def serving(self) -> Mapping[str, int]:
        """Slots taken now, per model."""

    @property
    def health(self) -> InstanceStatus:
        """State of its breaker."""

    @property
    def tokens_per_s(self) -> float | None:
        """Speed of one stream."""

    @property
    def on_gpu(self) -> float | None:
        """Share of what it holds that is on the GPU."""


class PoolSeen(Protocol):
    """What is read of the pool; see `pool.base.PoolStatus`."""

    @property
    def instances(self) -> Sequence[InstanceSeen]:
        """All of them."""

    @property
    def waiting(self) -> Mapping[str, int]:
        """Requests in the queue, per model."""

    @property
    def batch(self) -> int:
        """How many of those have that priority."""

    @property
    def shared(self) -> bool:
        """Whether the store that processes share answers."""


@dataclass(frozen=True, slots=True)
class PoolGauges(Collector):
    """The gauges of one moment. Every replica tells the same of all: panels use `max`, not `sum`.

    Args:
        model_label: The label that stands for a model; several may share one.
    """

    pool: PoolSeen
    model_label: Callable[[str], str]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All of them."""
        yield self._inflight()
        yield self._of_instances("libri_pool_slots", "Generations it serves at once.", lambda one: one.slots)
        yield self._of_instances(
            "libri_instance_state", "0 closed, 1 half-open, 2 open.", lambda one: _STATES[one.health]
        )
        yield self._of_instances(
            "libri_instance_tokens_per_second", "Measured speed of one stream.", lambda one: one.tokens_per_s
        )
        yield self._of_instances(
            "libri_instance_gpu_ratio", "Share of its models that is on the GPU.", lambda one: one.on_gpu
        )
        waiting = sum(self.pool.waiting.values())
        depth = GaugeMetricFamily("libri_queue_depth", "Requests waiting for a slot.", labels=["class"])
        depth.add_metric(["interactive"], waiting - self.pool.batch)
        depth.add_metric(["batch"], self.pool.batch)
        yield depth
        shared = "1 while the store that processes share answers, else each uses its own part of the slots."
        yield GaugeMetricFamily("libri_pool_shared", shared, value=self.pool.shared)

    def _inflight(self) -> GaugeMetricFamily:
        text = "Slots taken; an idle instance has a sample of no model."
        running = GaugeMetricFamily("libri_pool_inflight", text, labels=["instance", "model"])
        for one in self.pool.instances:
            counts = Counter[str]() if one.serving else Counter({"": 0})
            for model, count in one.serving.items():
                counts[self.model_label(model)] += count
            for label, count in counts.items():
                running.add_metric([one.id, label], count)
        return running

    def _of_instances(
        self, name: str, text: str, value: Callable[[InstanceSeen], float | None]
    ) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=["instance"])
        for one in self.pool.instances:
            if (now := value(one)) is not None:
                family.add_metric([one.id], now)
        return family
