"""What the slots are told of each instance: how many it may be given, and for which models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from backend.pool.health import Health
from backend.pool.names import folded
from backend.pool.preference import Profile
from backend.pool.slots.base import ANY_MODEL, Capacity

ANY = frozenset({ANY_MODEL})


@dataclass(frozen=True, slots=True)
class Observed:
    """A registered instance; times are seconds of the wall clock that all replicas share.

    Attributes:
        slots: Generations it serves at once.
        models: What it is configured to serve; empty means any.
        draining: It finishes what runs and takes no more.
        loading: The model that is being loaded, from the decision on until it is in memory or has failed.
        evicts: Of the models in memory, those that must go for `loading`; None: all, if there is no room.
        models_at_once: How many it is meant to hold in memory.
        last_loaded_at: When its latest load ended, well or not; `load_s`: how long it took.
        used_at: When each model was last seen in use on it; one that is missing was not lately.
        unloadable_until: Models that it failed to load, and when that may be tried again. Nobody waits for it
            to load them meanwhile, or a model that does not fit would let its readers wait to the end.
        barred: Models that it lists and does not serve now.
    """

    slots: int
    models: frozenset[str] = frozenset()
    draining: bool = False
    health: Health = field(default_factory=Health)
    profile: Profile = field(default_factory=Profile)
    loading: str | None = None
    evicts: frozenset[str] | None = None
    models_at_once: int = 1
    last_loaded_at: float | None = None
    load_s: float = 5.0
    used_at: Mapping[str, float] = field(default_factory=dict)
    unloadable_until: Mapping[str, float] = field(default_factory=dict)
    barred: frozenset[str] = frozenset()

    def healthy(self, now: float) -> bool:
        """Whether it is given work."""
        return not self.draining and self.health.state(now) == "closed"


def capacities(known: Mapping[str, Observed], now: float) -> dict[str, Capacity]:
    """The capacity of each instance: all its slots while it is healthy, otherwise none.

    Unless nobody else is left: a model that no healthy instance could answer is tried, one request at a time,
    on those that are avoided because they refused. One that hangs is left to the probe.
    """
    offers = {name: _offer(k, now) for name, k in known.items()}
    covered = _covered(known, offers, now)
    told = {}
    for name, k in known.items():
        if k.healthy(now):
            told[name] = Capacity(k.slots, *offers[name])
        elif k.draining or k.health.hangs:
            told[name] = Capacity(0, *offers[name])
        else:
            told[name] = _last_resort(*offers[name], covered)
    return told


def servable(known: Observed) -> frozenset[str]:
    """Models it has and may serve; `ANY_MODEL` if that is not known."""
    if known.profile.models is None:
        return known.models - known.barred if known.models else ANY
    has = frozenset(known.profile.models) - known.barred
    return has & known.models if known.models else has


def held(known: Observed) -> frozenset[str]:
    """Models it has in memory and may serve; of no meaning where `facts.loaded` is None."""
    loaded = (known.profile.loaded or frozenset()) - known.barred
    return loaded & known.models if known.models else loaded


def leaving(known: Observed) -> frozenset[str]:
    """Models in memory that are to go for the one that is being loaded; they get no new work."""
    loaded = known.profile.loaded or frozenset()
    if known.loading is None or known.loading in loaded:
        return frozenset()
    if known.evicts is not None:
        return known.evicts
    return loaded if len(by_model(loaded)) >= known.models_at_once else frozenset()


def by_model(names: Iterable[str]) -> list[frozenset[str]]:
    """The models that go by these names, in a stable order; `m` and `m:latest` are one."""
    models: dict[str, frozenset[str]] = {}
    for name in sorted(names):
        models[folded(name)] = models.get(folded(name), frozenset()) | {name}
    return list(models.values())


def _offer(known: Observed, now: float) -> tuple[frozenset[str], frozenset[str]]:
    """Models that are ready and models that are cold."""
    if known.profile.loaded is None:
        return servable(known), frozenset()
    ready = held(known) - leaving(known)
    failing = {model for model, until in known.unloadable_until.items() if now < until}
    return ready, servable(known) - ready - failing - ANY


def _covered(
    known: Mapping[str, Observed], offers: Mapping[str, tuple[frozenset[str], frozenset[str]]], now: float
) -> frozenset[str]:
    """Models that a healthy instance answers, perhaps after loading."""
    healthy = (offers[name] for name, k in known.items() if k.healthy(now))
    return frozenset(model for ready, cold in healthy for model in ready | cold)


def _last_resort(ready: frozenset[str], cold: frozenset[str], covered: frozenset[str]) -> Capacity:
    """One slot for what it holds and nobody else answers; nothing is loaded there for a try."""
    if ANY_MODEL in covered or (ANY_MODEL in ready and covered) or ready <= covered:
        return Capacity(0, ready, cold)
    return Capacity(1, ready - covered)
