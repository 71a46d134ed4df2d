"""Which model is to be loaded where, so that everybody who waits is served and models do not evict each other in turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from backend.pool.choose import weights
from backend.pool.rows import Known, held, leaving, offered
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

    First the models that somebody waits for and no instance holds: at once, unless the only places are taken by
    models that are in use and held nowhere else; those stay for `settle_s`, and until then leave only when nobody
    uses them. Then, where the first in the queue has waited for `spread_after_s` although the model is held
    somewhere, a further instance that has nothing better to do.

    Args:
        random: In [0, 1); decides between equals.
        settle_s: For so long after a load, and after its latest use where it is the last copy, a model is not
            evicted to make a further copy of another.
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
        loaded = known.facts.loaded or frozenset()
        missed = sorted(
            loaded, key=lambda m: (self._is_last(name, m), self._waiting(m), known.used_at.get(m, 0.0), m)
        )
        return frozenset(missed[: max(0, len(loaded) + 1 - known.models_at_once)])

    def _may_leave(self, name: str, victims: frozenset[str]) -> bool:
        """Whether it has not just loaded what is in use and held nowhere else."""
        return self._is_settled(name) or not any(self._is_last_in_use(name, m) for m in victims)

    def _is_spare(self, name: str, victims: frozenset[str]) -> bool:
        """Whether it has nothing better to do than to hold a further copy of another model."""
        if self._busy(name) >= 1 or any(map(self._waiting, held(self.known[name]))):
            return False
        if victims and not self._is_settled(name):
            return False
        return not any(self._is_last_in_use(name, m) or self._is_last_used_lately(name, m) for m in victims)

    def _cost(self, name: str, victims: frozenset[str]) -> tuple[float, ...]:
        """What speaks against an instance, the worst first."""
        busy, used_at = self._busy(name), self.known[name].used_at
        return (
            sum(self._is_last_in_use(name, m) for m in victims),
            sum(self._waiting(m) > 0 for m in victims),
            bool(victims) and busy > 0,  # the load waits until what runs has ended
            self._speed[name] < SLOW,
            bool(victims),
            busy,
            max((used_at.get(m, 0.0) for m in victims), default=0.0),
        )

    def _is_last(self, name: str, model: str) -> bool:
        return self.ready_at(model) <= {name}

    def _is_last_in_use(self, name: str, model: str) -> bool:
        return self._is_last(name, model) and (self._waiting(model) > 0 or self._busy(name) > 0)

    def _is_last_used_lately(self, name: str, model: str) -> bool:
        used_at = self.known[name].used_at.get(model)
        return self._is_last(name, model) and used_at is not None and self.now - used_at < self.settle_s

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
