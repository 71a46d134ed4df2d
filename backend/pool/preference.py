"""Which instance is to be preferred: the fast one, and the one that has seen this conversation before."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

AFFINITY_BONUS = 1.3
"""Worth less than a quarter of the slots: an idle instance beats an equal one that is 3/4 free."""
CPU_SHARE = 0.1
"""What a model on the CPU is taken to be worth until its speed is measured."""
SLOWEST = 0.01
"""The least weight, so that a slow instance is still chosen when nothing else is free."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of an instance; None is unknown.

    Attributes:
        models: Names it has.
        loaded: Names it holds in memory; None as well if its engine does not load and unload by itself.
        tokens_per_s: Decode speed of one stream, as measured.
        on_gpu: Share of the loaded model that is on the GPU, 0 to 1.
    """

    models: tuple[str, ...] | None = None
    loaded: frozenset[str] | None = None
    tokens_per_s: float | None = None
    on_gpu: float | None = None


def preferences(facts: Mapping[str, Profile], affinity: str) -> dict[str, float]:
    """Preference per instance, for `Slots.join`: speed relative to the fastest, and a bonus for one.

    Args:
        facts: Of the instances that come into question; best of those that hold the model, since what another
            one has seen of the conversation is worth nothing.
        affinity: What a conversation or a long prompt is known by; "" for none. All processes agree on its
            instance, and when one comes or goes only the keys of that one move.
    """
    speeds = _speeds(facts)
    fastest = max(speeds.values(), default=1.0)
    home = _home(speeds, affinity)
    return {
        name: max(SLOWEST, speed / fastest) * (AFFINITY_BONUS if name == home else 1.0)
        for name, speed in speeds.items()
    }


def _speeds(facts: Mapping[str, Profile]) -> dict[str, float]:
    """Tokens per second of each; where not measured, what the median one would do on such a machine."""
    known = [f.tokens_per_s / _machine(f) for f in facts.values() if f.tokens_per_s]
    usual = median(known) if known else 1.0
    return {name: f.tokens_per_s or usual * _machine(f) for name, f in facts.items()}


def _machine(facts: Profile) -> float:
    return 1.0 if facts.on_gpu is None else max(CPU_SHARE, facts.on_gpu)


def _home(speeds: Mapping[str, float], affinity: str) -> str | None:
    """Rendezvous hashing, weighted: each instance is home to as many keys as it is fast.

    Source: C. Schindelhauer, G. Schomaker, "Weighted Distributed Hash Tables", SPAA 2005.
    """
    if not affinity or not speeds:
        return None
    return min(sorted(speeds), key=lambda name: -math.log(_uniform(affinity, name)) / speeds[name])


def _uniform(affinity: str, instance: str) -> float:
    """The same number in (0, 1) in every process; `hash` differs between them."""
    digest = hashlib.blake2b(f"{affinity}\0{instance}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 0.5) / 2**64
