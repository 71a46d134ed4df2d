"""What is known of an instance from its own word, and how fast it was measured to be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from backend.core.errors import EngineError, EngineRefused, EngineUnreachable
from backend.core.model_names import is_offerable
from backend.engines.base import LoadedModel, ModelInfo
from backend.pool.base import Instance, OfferedModel

T = TypeVar("T")
Called = Callable[[Iterable[str]], tuple[str, ...]]
"""What the models are called in the pool that an instance calls so."""
_SPEED_STEP = 0.2
_SLOWER = 0.35
"""A speed below this share of the best ever measured is worth telling an operator."""
_ON_GPU = 0.99
"""A model that is there but for rounding."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an instance; None is what it did not say in time.

    Attributes:
        dead: It refused the connection, answered 5xx, or refuses whatever we ask.
        left_out: Names it listed by which no model can be asked for.
    """

    models: tuple[ModelInfo, ...] | None
    loaded: tuple[LoadedModel, ...] | None
    dead: EngineUnreachable | EngineRefused | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What looks and measurements told of an instance so far; None is what nothing told.

    Attributes:
        models: Those it has, by its own names.
        loaded: Share on the GPU of each model in memory, by its name; None within: not told.
        contexts: How many tokens each was loaded with.
        others: Contexts that another client had models loaded with, and when that was seen.
        tokens_per_s: Speed of one stream, smoothed; `best_tokens_per_s`: the best it ever was.
        used_at: When each model was last in use, in seconds of the wall clock.
    """

    models: tuple[ModelInfo, ...] | None = None
    loaded: Mapping[str, float | None] | None = None
    contexts: Mapping[str, int | None] | None = None
    others: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    tokens_per_s: float | None = None
    best_tokens_per_s: float = 0.0
    used_at: Mapping[str, float] = field(default_factory=dict)

    @property
    def listed(self) -> list[str]:
        """The names of its models."""
        return [model.name for model in self.models or ()]

    @property
    def on_gpu(self) -> float | None:
        """The least share of a loaded model that is on the GPU, in [0, 1]."""
        return min((share for share in (self.loaded or {}).values() if share is not None), default=None)

    def used(self, model: str, now: float) -> Report:
        """With `model` in use at `now`."""
        return replace(self, used_at={**self.used_at, model: now})

    def measured(self, tokens_per_s: float) -> Report:
        """With one more measurement of the speed of one stream."""
        was = self.tokens_per_s
        now = tokens_per_s if was is None else was + _SPEED_STEP * (tokens_per_s - was)
        return replace(self, tokens_per_s=now, best_tokens_per_s=max(now, self.best_tokens_per_s))

    def after(self, look: Look) -> Report:
        """With what was just seen in the place of what was known; what was not said stays."""
        report = self if look.models is None else replace(self, models=look.models)
        if look.loaded is None:
            return report
        return replace(
            report,
            loaded={model.name: model.gpu_share for model in look.loaded},
            contexts={model.name: model.context_tokens for model in look.loaded},
        )

    def oddity(self) -> str:
        """What is odd about an instance that answers, for an operator to read; empty when nothing is."""
        if self.on_gpu is not None and self.on_gpu < _ON_GPU:
            return f"on the CPU: {self.on_gpu:.0%} of the model is on the GPU"
        speed, best = self.tokens_per_s, self.best_tokens_per_s
        if speed and speed < _SLOWER * best:
            return f"slow: {speed:.0f} tokens/s, was {best:.0f}"
        return ""


async def look(instance: Instance, timeout_s: float) -> Look:
    """Ask a server what it has, and what of it is loaded."""
    models, loaded = await asyncio.gather(
        _bounded(instance.engine.models(instance.endpoint), timeout_s),
        _bounded(instance.engine.loaded(instance.endpoint), timeout_s),
    )
    if isinstance(models, EngineUnreachable | EngineRefused):
        return Look(None, None, models)
    return Look(
        None if isinstance(models, Exception) else tuple(m for m in models if is_offerable(m.name)),
        None if isinstance(loaded, Exception) else tuple(m for m in loaded if is_offerable(m.name)),
        left_out=() if isinstance(models, Exception) else _left_out(models),
    )


def offers_of(instance: Instance, report: Report, called: Called = tuple) -> tuple[OfferedModel, ...]:
    """The models of one instance: the names declared for it, in place of those that it lists."""
    infos: dict[str, ModelInfo] = {}
    for info in report.models or ():
        for name in called([info.name]):
            infos.setdefault(name, replace(info, name=name))
    loaded = None if report.loaded is None else frozenset(called(report.loaded))
    return tuple(
        OfferedModel(
            infos.get(name, ModelInfo(name)),
            None if loaded is None else name in loaded,
            loose_name=instance.loose_names,
        )
        for name in sorted(instance.models) or list(infos)
    )


def _left_out(models: Iterable[ModelInfo]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(model.name for model in models if not is_offerable(model.name)))


async def _bounded(answer: Awaitable[T], timeout_s: float) -> T | EngineError | TimeoutError:
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except (EngineError, TimeoutError) as exc:
        return exc
