"""The pool as an operator sees it."""

from __future__ import annotations

from backend.pool.barred import Bars
from backend.pool.base import InstanceState, PoolState
from backend.pool.knowledge import Knowledge
from backend.pool.slots.base import ANY_MODEL, Row, View


def standing(knowledge: Knowledge, view: View, now: float) -> PoolState:
    """Every instance and the queue, from what is known and what the slots say at `now`."""
    return PoolState(
        instances=tuple(_instance(knowledge, id, view, now) for id in knowledge.instances()),
        waiting=view.waiting,
        batch=view.batch,
        processes=view.processes,
        shared=view.shared,
    )


def _unserved(bars: Bars) -> str:
    """Which of the models that it lists it does not serve, and why."""
    return "; ".join(f"{model}: {bar.reason}" for model, bar in sorted(bars.items()))


def _instance(knowledge: Knowledge, id: str, view: View, now: float) -> InstanceState:
    one, known = knowledge.instances()[id], knowledge.known()[id]
    row = view.rows.get(id, Row(0, frozenset()))
    return InstanceState(
        id=id,
        kind=one.engine.name,
        slots=one.slots,
        in_flight=len(view.held_s.get(id, ())),
        health=known.health.state(now),
        address=one.endpoint.address,
        serving=view.serving.get(id, {}),
        reason=known.health.reason or _unserved(knowledge.barred(id)) or knowledge.oddity(one),
        draining=known.draining,
        ready=tuple(sorted(row.ready)),
        cold=tuple(sorted(row.cold)),
        loading=known.loading,
        tokens_per_s=known.facts.tokens_per_s,
        on_gpu=known.facts.on_gpu,
        contexts=_contexts(knowledge, id, row),
    )


def _contexts(knowledge: Knowledge, id: str, row: Row) -> dict[str, int]:
    told = {name: knowledge.context_tokens(id, name) for name in sorted((row.ready | row.cold) - {ANY_MODEL})}
    return {name: tokens for name, tokens in told.items() if tokens is not None}
