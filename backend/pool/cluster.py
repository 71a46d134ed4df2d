"""The pool at one moment: what each instance holds, who uses it, who waits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from backend.pool.capacity import Observed, by_model, held, leaving, servable
from backend.pool.slots.base import ANY_MODEL, Snapshot


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of the instances, and the slots' view, at `now`.

    Attributes:
        settle_s: For so long after a load an instance is better left as it is.
    """

    known: dict[str, Observed]
    view: Snapshot
    now: float
    settle_s: float

    def begin(self, name: str, model: str, evicts: frozenset[str]) -> None:
        """From now on `name` loads `model`."""
        self.known[name] = replace(self.known[name], loading=model, evicts=evicts)

    def is_being_loaded(self, model: str) -> bool:
        """Whether an instance that will be given work loads it."""
        return any(k.loading == model and k.healthy(self.now) for k in self.known.values())

    def lacks_slots(self, model: str) -> bool:
        """Whether more wait for it than there will be slots where it is being loaded."""
        coming = sum(k.slots for k in self.known.values() if k.loading == model and k.healthy(self.now))
        return self.waiting(model) > coming

    def could_load(self, name: str, model: str) -> bool:
        """Whether it has the model, does not hold it, and is free to load it."""
        known = self.known[name]
        return (
            known.healthy(self.now)
            and known.profile.loaded is not None
            and known.loading is None
            and model in servable(known) - held(known)
            and known.unloadable_until.get(model, self.now) <= self.now
        )

    def ready_at(self, model: str) -> frozenset[str]:
        """Instances that answer `model` now."""
        return frozenset(name for name, k in self.known.items() if k.healthy(self.now) and _answers(k, model))

    def any_needed(self, name: str, models: frozenset[str], *, idle_s: float) -> bool:
        """Whether one of them is held nowhere else, and is in use or was within `idle_s`."""
        return any(self._is_last(name, m) and self._idle_s(name, m) <= idle_s for m in models)

    def is_settled(self, name: str) -> bool:
        """Whether its latest load is long past."""
        last = self.known[name].last_loaded_at
        return last is None or self.now - last >= self.settle_s

    def waiting(self, model: str) -> int:
        """How many wait for it."""
        return self.view.waiting.get(model, 0)

    def oldest_s(self, model: str) -> float:
        """How long the first of them has waited."""
        return self.view.oldest_s.get(model, 0.0)

    def busy(self, name: str) -> float:
        """Share of its slots that is taken."""
        return len(self.view.held_s.get(name, ())) / self.known[name].slots

    def used_at(self, name: str, models: frozenset[str]) -> float:
        """When one of them was last seen in use there."""
        used_at = self.known[name].used_at
        return max((used_at.get(m, 0.0) for m in models), default=0.0)

    def victims(self, name: str) -> frozenset[str]:
        """What has to go for one more model: what is missed least."""
        known = self.known[name]
        loaded = sorted(by_model(known.profile.loaded or ()), key=lambda model: self._missed(name, model))
        return frozenset[str]().union(*loaded[: max(0, len(loaded) + 1 - known.models_at_once)])

    def _missed(self, name: str, model: frozenset[str]) -> tuple[float, ...]:
        last = any(self._is_last(name, m) for m in model)
        return last, sum(map(self.waiting, model)), self.used_at(name, model)

    def _is_last(self, name: str, model: str) -> bool:
        return self.ready_at(model) <= {name}

    def _idle_s(self, name: str, model: str) -> float:
        """Seconds since it was last in use; which model a slot is used for is not known."""
        if self.waiting(model) or self.busy(name):
            return 0.0
        return self.now - self.known[name].used_at.get(model, -math.inf)


def _answers(known: Observed, model: str) -> bool:
    if known.profile.loaded is None:
        return model in servable(known) or ANY_MODEL in servable(known)
    return model in held(known) - leaving(known)
