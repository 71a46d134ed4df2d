"""Which model is loaded where: all who wait are served, and models do not evict each other in turns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from backend.pool.choose import weights
from backend.pool.rows import Known, held, leaving, models_of, offered
from backend.pool.slots.base import ANY_MODEL, View

SLOW = 0.5
"""Below this share of the fastest's speed an instance is the second choice for a model."""


@dataclass(frozen=True, slots=True)
class Load:
    """`model` is to be loaded on `instance`; the models it `evicts` get no new work from now on."""

    instance: str
    model: str
    evicts: frozenset[str] = frozenset()


def loads(
    known: Mapping[str, Known],
    view: View,
    now: float,
    *,
    random: float,
    spread_after_s: float = 10.0,
    settle_s: float = 60.0,
) -> list[Load]:
    """What to load now; each instance and each model comes at most once.

    First the models that somebody waits for and no instance holds: at once, where what has to go is missed
    least, unless that is everywhere the last copy of a model in use. Such a copy stays for `settle_s` after
    its load, or until it has been idle for as long as a load takes: before that a load would cost more than
    it gains (the rule of ski rental).

    Then, where the first in the queue has waited for `spread_after_s` although the model is held somewhere, a
    further instance that has nothing better to do. For `settle_s` after a load there, or after the latest use
    of a last copy, nothing is evicted for that. `random`, in [0, 1), decides between equals.
    """
    scene = _Scene(dict(known), view, now, settle_s)
    wanted = sorted(
        (m for m in view.waiting if view.waiting[m]), key=lambda m: (-view.oldest_s.get(m, 0.0), m)
    )
    missing = [model for model in wanted if not scene.ready_at(model)]
    scarce = [m for m in wanted if m not in missing and view.oldest_s.get(m, 0.0) > spread_after_s]
    chosen = [scene.place(model, random, further=False) for model in missing]
    chosen += [scene.place(model, random, further=True) for model in scarce]
    return [load for load in chosen if load is not None]


@dataclass(slots=True)
class _Scene:
    """The pool at one moment, with the loads that have been decided on."""

    known: dict[str, Known]
    view: View
    now: float
    settle_s: float
    _speed: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._speed = weights({name: k.facts for name, k in self.known.items()}, "")

    def place(self, model: str, random: float, *, further: bool) -> Load | None:
        """Decide where to load `model`; None: nowhere now. `further`: it is held somewhere already."""
        if any(k.loading == model and k.healthy(self.now) for k in self.known.values()):
            return None
        admits = self._is_spare if further else self._may_leave
        able = {n: self._victims(n) for n, k in sorted(self.known.items()) if self._is_able(k, model)}
        costs = {n: self._cost(n, victims) for n, victims in able.items() if admits(n, victims)}
        if not costs:
            return None
        best = [name for name, cost in costs.items() if cost == min(costs.values())]
        name = best[int(random * len(best))]
        self.known[name] = replace(self.known[name], loading=model, evicts=able[name])
        return Load(name, model, able[name])

    def ready_at(self, model: str) -> frozenset[str]:
        """Instances that answer `model` now."""
        return frozenset(name for name, k in self.known.items() if k.healthy(self.now) and _answers(k, model))

    def _is_able(self, known: Known, model: str) -> bool:
        return (
            known.healthy(self.now)
            and known.facts.loaded is not None
            and known.loading is None
            and model in offered(known) - held(known)
            and known.unloadable_until.get(model, self.now) <= self.now
        )

    def _victims(self, name: str) -> frozenset[str]:
        """What has to go for one more model: what is missed least."""
        known = self.known[name]
        loaded = sorted(
            models_of(known.facts.loaded or frozenset()), key=lambda names: self._missed(name, names)
        )
        return frozenset[str]().union(*loaded[: max(0, len(loaded) + 1 - known.models_at_once)])

    def _missed(self, name: str, model: frozenset[str]) -> tuple[float, ...]:
        used_at = self.known[name].used_at
        return (
            any(self._is_last(name, m) for m in model),
            sum(map(self._waiting, model)),
            max(used_at.get(m, 0.0) for m in model),
        )

    def _may_leave(self, name: str, victims: frozenset[str]) -> bool:
        """Whether the victims had their time on it, or are not needed there."""
        return self._is_settled(name) or not self._any_needed(name, victims, self.known[name].load_s)

    def _is_spare(self, name: str, victims: frozenset[str]) -> bool:
        """Whether it has nothing better to do than to hold a further copy of another model."""
        if self._busy(name) >= 1 or any(map(self._waiting, held(self.known[name]))):
            return False
        if victims and not self._is_settled(name):
            return False
        return not self._any_needed(name, victims, self.settle_s)

    def _cost(self, name: str, victims: frozenset[str]) -> tuple[float, ...]:
        """What speaks against an instance, the worst first."""
        busy, used_at = self._busy(name), self.known[name].used_at
        return (
            self._any_needed(name, victims, 0.0),
            sum(self._waiting(m) > 0 for m in victims),
            bool(victims) and busy > 0,  # the load waits until what runs has ended
            self._speed[name] < SLOW,
            bool(victims),
            busy,
            max((used_at.get(m, 0.0) for m in victims), default=0.0),
        )

    def _is_last(self, name: str, model: str) -> bool:
        return self.ready_at(model) <= {name}

    def _any_needed(self, name: str, models: frozenset[str], idle_s: float) -> bool:
        """Whether one of them is held nowhere else, and is in use or was within `idle_s`."""
        return any(self._is_last(name, m) and self._idle_s(name, m) <= idle_s for m in models)

    def _idle_s(self, name: str, model: str) -> float:
        """Seconds since it was last in use; which model a slot is used for is not known."""
        if self._waiting(model) or self._busy(name):
            return 0.0
        return self.now - self.known[name].used_at.get(model, -math.inf)

    def _is_settled(self, name: str) -> bool:
        last = self.known[name].last_loaded_at
        return last is None or self.now - last >= self.settle_s

    def _waiting(self, model: str) -> int:
        return self.view.waiting.get(model, 0)

    def _busy(self, name: str) -> float:
        """Share of its slots that is taken."""
        return len(self.view.held_s.get(name, ())) / self.known[name].slots


def _answers(known: Known, model: str) -> bool:
    if known.facts.loaded is None:
        return model in offered(known) or ANY_MODEL in offered(known)
    return model in held(known) - leaving(known)
