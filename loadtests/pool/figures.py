"""The figures of one run of one contender."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.bench import percentile
from loadtests.pool.attempts import Attempt, over_admitted
from loadtests.pool.idle import Idleness
from loadtests.pool.records import DONE, Record


@dataclass(frozen=True, slots=True)
class Figures:
    """What readers got, per second of the window.

    Attributes:
        asked: Requests that arrived in the window; `outcomes` is how those ended.
        answers_per_s: Whole answers that ended in the window; `tokens_per_s` is their tokens.
        good_per_s: Requests of the window answered whole, their first token within the patience of a reader.
        first_s: 50th, 95th and 99th percentile of the time to the first token.
        refused_s: 99th percentile of the time until a refusal; NaN without any.
        over_admitted: Attempts sent to an instance that had no slot free.
        inner_wait_s: Longest time in an instance's own queue.
        late_s: 99th percentile of how late requests were sent: this machine was busy, not the emulated ones.
        attempts: Per request that reached an instance.
    """

    asked: int
    outcomes: Mapping[str, int]
    answers_per_s: float
    tokens_per_s: float
    good_per_s: float
    first_s: tuple[float, float, float]
    refused_s: float
    over_admitted: int
    inner_wait_s: float
    late_s: float
    attempts: float
    lost: int
    twice: int
    idle: Idleness


def figures(
    records: Sequence[Record],
    attempts: Sequence[Attempt],
    slots: Mapping[str, int],
    idle: Idleness,
    window: tuple[float, float],
    *,
    patience_s: float,
) -> Figures:
    """Figures of one run; times to first token are those of the requests that arrived in `window`."""
    begin, end = window
    seconds = end - begin
    asked = [r for r in records if begin <= r.arrived_s < end]
    firsts = [r.first_token_s for r in asked if r.first_token_s is not None]
    ended = [r for r in records if r.is_done and r.ended_s is not None and begin <= r.ended_s < end]
    refused = [r.ended_s - r.arrived_s for r in asked if r.outcome == "pool_full" and r.ended_s is not None]
    return Figures(
        asked=len(asked),
        outcomes=Counter(r.outcome for r in asked),
        answers_per_s=len(ended) / seconds,
        tokens_per_s=sum(r.output_tokens for r in ended) / seconds,
        good_per_s=sum(_is_good(r, patience_s) for r in asked) / seconds,
        first_s=(percentile(firsts, 50), percentile(firsts, 95), percentile(firsts, 99)),
        refused_s=percentile(refused, 99),
        over_admitted=over_admitted(attempts, slots),
        inner_wait_s=max((a.inner_wait_s for a in attempts), default=0.0),
        late_s=percentile([r.late_s for r in asked], 99),
        attempts=len(attempts) / max(1, len({a.arrival for a in attempts})),
        lost=sum(r.lost for r in asked if r.outcome == DONE),
        twice=sum(r.twice for r in asked if r.outcome == DONE),
        idle=idle,
    )


def _is_good(record: Record, patience_s: float) -> bool:
    first_s = record.first_token_s
    return record.is_done and not record.lost and first_s is not None and first_s <= patience_s
