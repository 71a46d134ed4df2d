"""What goes wrong in each round, and how it is put right again.

A fault acts on the parts of a running stage: emulators, client processes, Redis.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devstack.redis import RedisServer
from loadtests.pool.crew import Crew
from loadtests.pool.fleet import Running


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault can strike; the bad instance is the first of `running`."""

    running: Sequence[Running]
    clients: Crew
    redis: RedisServer

    @property
    def bad(self) -> Running:
        return self.running[0]


Act = Callable[[Scene], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble.

    Attributes:
        lasts_s: Until `undo`; 0: it is over at once, or for good.
        is_of_instance: The first instance is bad meanwhile, the others are well.
        may_fail: Error codes that readers may see, each with a time to come back.
        trips_at: So many failures make the pool avoid an instance.
        dead: Emulators that cannot be asked afterwards.
    """

    name: str
    strike: Act
    undo: Act = lambda scene: None
    lasts_s: float = 0.0
    is_of_instance: bool = True
    may_fail: frozenset[str] = frozenset()
    trips_at: int = 1
    dead: frozenset[int] = frozenset()


def _emulated(kind: str, **params: object) -> Act:
    return lambda scene: scene.bad.fault(kind, **params)


def _clear(scene: Scene) -> None:
    scene.bad.clear()


def _signal(number: int) -> Act:
    return lambda scene: os.kill(scene.bad.pid, number)


def _all_down(scene: Scene) -> None:
    for instance in scene.running:
        instance.fault("restart", s=DOWN_S)


def _client_killed(scene: Scene) -> None:
    scene.clients.processes[0].kill()


def _forgets(scene: Scene) -> None:
    scene.redis.kill()
    scene.redis.start()


NOBODY_LEFT = frozenset({"no_instance", "pool_full", "engine_unreachable", "engine_truncated"})
"""What readers may be told while all are down: it is told with a time to come back."""
HANGS_S, DOWN_S, BAD_S = 60.0, 20.0, 20.0
"""How long what stands still does so, how long all are down, and how long an instance is bad otherwise."""

FAULTS = (
    Fault("kill -9", _signal(signal.SIGKILL), dead=frozenset({0})),
    Fault("SIGSTOP", _signal(signal.SIGSTOP), _signal(signal.SIGCONT), HANGS_S),
    Fault("EOF mid-stream", _emulated("eof_mid", k=6), _clear, BAD_S, trips_at=3),
    Fault("RST mid-stream", _emulated("reset_mid", k=6), _clear, BAD_S, trips_at=3),
    Fault("503 at once", _emulated("status", code=503), _clear, BAD_S),
    Fault("10 x slower", _emulated("throttle", factor=10.0), _clear, BAD_S, is_of_instance=False),
    Fault("all down", _all_down, lasts_s=DOWN_S, is_of_instance=False, may_fail=NOBODY_LEFT),
    Fault(
        "Redis SIGSTOP", lambda s: s.redis.hang(), lambda s: s.redis.go_on(), HANGS_S, is_of_instance=False
    ),
    Fault("Redis empty", _forgets, is_of_instance=False),
    Fault("client killed", _client_killed, is_of_instance=False),
)
