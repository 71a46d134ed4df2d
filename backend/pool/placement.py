"""Which model is loaded where: all who wait are served, and models do not evict each other in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.pool.capacity import Observed, held
from backend.pool.cluster import Cluster
from backend.pool.preference import preferences
from backend.pool.slots.base import Snapshot

_Admits = Callable[[Cluster, str, frozenset[str]], bool]
"""Whether an instance may be given a load that has these models go."""
SLOW = 0.5
"""Below this share of the fastest's speed an instance is the second choice for a model."""


@dataclass(frozen=True, slots=True)
class Load:
    """`model` is to be loaded on `instance`; the models it `evicts` get no new work from now on."""

    instance: str
    model: str
    evicts: frozenset[str] = frozenset()


def loads(
    known: Mapping[str, Observed],
    view: Snapshot,
    now: float,
    *,
    random: float,
    room_after_s: float = 0.4,
    spread_after_s: float = 10.0,
    settle_s: float = 60.0,
) -> list[Load]:
    """What to load now; each instance and each model comes at most once.

    First the models that somebody waits for and no instance holds: at once, where what has to go is missed
    least, unless that is everywhere the last copy of a model in use. Such a copy stays for `settle_s` after
    its load, or until it has been idle for as long as a load takes: before that a load would cost more than
    it gains (the rule of ski rental).

    Then, where the first in the queue has waited for `room_after_s`, a further instance that has room for it:
    a GPU that holds nothing is put to use at once, if it is needed.

    Last, where the first in the queue has waited for `spread_after_s` although the model is held somewhere, a
    further instance that has nothing better to do. For `settle_s` after a load there, or after the latest use
    of a last copy, nothing is evicted for that. `random`, in [0, 1), decides between equals.
    """
    cluster = Cluster(dict(known), view, now, settle_s)
    wanted = sorted(
        filter(cluster.waiting, view.waiting), key=lambda model: (-cluster.oldest_s(model), model)
    )
    missing = [model for model in wanted if not cluster.ready_at(model)]
    scarce = [m for m in wanted if m not in missing and cluster.oldest_s(m) > spread_after_s]
    chosen: dict[str, Load | None] = {}
    for model in missing:
        chosen[model] = (
            None if cluster.is_being_loaded(model) else _placed(cluster, model, random, _may_give_up)
        )
    for model in wanted:
        if not chosen.get(model) and cluster.oldest_s(model) > room_after_s and cluster.lacks_slots(model):
            chosen[model] = _placed(cluster, model, random, _has_room)
    for model in scarce:
        if not chosen.get(model) and not cluster.is_being_loaded(model):
            chosen[model] = _placed(cluster, model, random, _is_spare)
    return [load for load in chosen.values() if load is not None]


def _placed(cluster: Cluster, model: str, random: float, admits: _Admits) -> Load | None:
    """Where to load `model`, of the instances that may be asked to; None: nowhere now."""
    able = {name: cluster.victims(name) for name in sorted(cluster.known) if cluster.could_load(name, model)}
    costs = {
        name: _cost(cluster, name, victims)
        for name, victims in able.items()
        if admits(cluster, name, victims)
    }
    if not costs:
        return None
    best = [name for name, cost in costs.items() if cost == min(costs.values())]
    name = best[int(random * len(best))]
    cluster.begin(name, model, able[name])
    return Load(name, model, able[name])


def _has_room(cluster: Cluster, name: str, victims: frozenset[str]) -> bool:
    """Whether nothing has to go."""
    return not victims and cluster.busy(name) < 1


def _may_give_up(cluster: Cluster, name: str, victims: frozenset[str]) -> bool:
    """Whether the victims had their time on it, or are not needed there."""
    return cluster.is_settled(name) or not cluster.any_needed(
        name, victims, idle_s=cluster.known[name].load_s
    )


def _is_spare(cluster: Cluster, name: str, victims: frozenset[str]) -> bool:
    """Whether it has nothing better to do than to hold a further copy of another model."""
    if cluster.busy(name) >= 1 or any(map(cluster.waiting, held(cluster.known[name]))):
        return False
    if victims and not cluster.is_settled(name):
        return False
    return not cluster.any_needed(name, victims, idle_s=cluster.settle_s)


def _cost(cluster: Cluster, name: str, victims: frozenset[str]) -> tuple[float, ...]:
    """What speaks against an instance, the worst first."""
    busy = cluster.busy(name)
    speed = preferences({n: k.profile for n, k in cluster.known.items()}, "")[name]
    return (
        cluster.any_needed(name, victims, idle_s=0.0),
        sum(cluster.waiting(m) > 0 for m in victims),
        bool(victims) and busy > 0,  # the load waits until what runs has ended
        speed < SLOW,
        bool(victims),
        busy,
        cluster.used_at(name, victims),
    )
