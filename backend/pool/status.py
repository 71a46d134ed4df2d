"""The pool as an operator sees it."""

from __future__ import annotations

from backend.pool.barred import Bars
from backend.pool.base import InstanceStatus, PoolStatus
from backend.pool.knowledge import Knowledge
from backend.pool.slots.base import ANY_MODEL, Capacity, Snapshot


def status(knowledge: Knowledge, view: Snapshot, now: float) -> PoolStatus:
    """Every instance and the queue, from what is known and what the slots say at `now`."""
    return PoolStatus(
        instances=tuple(_instance(knowledge, id, view, now) for id in knowledge.instances()),
        waiting=view.waiting,
        batch=view.batch,
        processes=view.processes,
        shared=view.shared,
    )


def _unserved(bars: Bars) -> str:
    """Which of the models that it lists it does not serve, and why."""
    return "; ".join(f"{model}: {bar.reason}" for model, bar in sorted(bars.items()))


def _instance(knowledge: Knowledge, id: str, view: Snapshot, now: float) -> InstanceStatus:
    one, known = knowledge.instances()[id], knowledge.observed()[id]
    room = view.capacities.get(id, Capacity(0, frozenset()))
    return InstanceStatus(
        id=id,
        kind=one.engine.name,
        slots=one.slots,
        in_flight=len(view.held_s.get(id, ())),
        health=known.health.state(now),
        address=one.endpoint.address,
        serving=view.serving.get(id, {}),
        reason=known.health.reason or _unserved(knowledge.barred(id)) or knowledge.oddity(one),
        draining=known.draining,
        ready=tuple(sorted(room.ready)),
        cold=tuple(sorted(room.cold)),
        loading=known.loading,
        tokens_per_s=known.profile.tokens_per_s,
        on_gpu=known.profile.on_gpu,
        contexts=_contexts(knowledge, id, room),
    )


def _contexts(knowledge: Knowledge, id: str, room: Capacity) -> dict[str, int]:
    told = {
        name: knowledge.context_tokens(id, name) for name in sorted((room.ready | room.cold) - {ANY_MODEL})
    }
    return {name: tokens for name, tokens in told.items() if tokens is not None}
