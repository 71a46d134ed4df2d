"""Ways to break a stack, each mended at its end; by the name that `--faults` takes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devstack.part import Part
from devstack.stack import Stack
from loadtests.durability.truth import Emulators

RELOADS = 5
_AWAY_S = 10.0
"""How long an instance is dead or stands still."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is broken, and who counts there."""

    stack: Stack
    emulators: Emulators


Break = Callable[[Scene], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way.

    Attributes:
        most_s: Bar of the pauses' p99; None: none is promised.
        needs: The kind of part without which it cannot happen; "": happens anywhere.
    """

    name: str
    said: str
    happens: Break
    most_s: float | None = None
    needs: str = ""


async def kill_replica(scene: Scene) -> None:
    """With all its workers; it comes back as a supervisor brings it."""
    await _killed(scene.stack.named("api")[-1])


async def kill_worker(scene: Scene) -> None:
    """One of a replica's; its master starts another."""
    replica = scene.stack.named("api")[0]
    os.kill(replica.workers()[0], signal.SIGKILL)
    await asyncio.sleep(_AWAY_S)


async def restart_replicas(scene: Scene) -> None:
    """One after the other, as a new release is brought in."""
    for replica in scene.stack.named("api"):
        before = replica.starts
        replica.ask(signal.SIGTERM)
        await asyncio.to_thread(replica.wait_ready, after=before)
        await asyncio.sleep(3)


async def reload_nginx(scene: Scene) -> None:
    """Five times."""
    for _ in range(RELOADS):
        scene.stack.parts["nginx"].ask(signal.SIGHUP)
        await asyncio.sleep(2)


async def kill_instance(scene: Scene) -> None:
    """The busiest is away for a while, and others have slots free."""
    instance = scene.stack.parts[await scene.emulators.busiest()]
    await scene.emulators.before_death(instance.name)
    instance.kill(stays_down=True)
    await asyncio.sleep(_AWAY_S)
    await asyncio.to_thread(instance.start)


async def stop_instance(scene: Scene) -> None:
    """The busiest hangs: connections are taken, and nothing comes."""
    instance = scene.stack.parts[await scene.emulators.busiest()]
    instance.send(signal.SIGSTOP)
    await asyncio.sleep(2 * _AWAY_S)
    instance.send(signal.SIGCONT)


async def restart_redis(scene: Scene) -> None:
    """It comes back with its data."""
    await asyncio.to_thread(scene.stack.parts["redis"].restart)


async def empty_redis(scene: Scene) -> None:
    """It comes back without."""
    await asyncio.to_thread(scene.stack.empty_redis)


async def kill_redis(scene: Scene) -> None:
    """It comes back with what it had written."""
    await _killed(scene.stack.parts["redis"])


async def restart_postgres(scene: Scene) -> None:
    await asyncio.to_thread(scene.stack.parts["postgres"].restart)


async def restart_chroma(scene: Scene) -> None:
    await asyncio.to_thread(scene.stack.parts["chroma"].restart)


async def kill_embedder(scene: Scene) -> None:
    await _killed(scene.stack.parts["embedder"])


async def kill_two(scene: Scene) -> None:
    """A replica and Redis in the same moment."""
    scene.stack.parts["redis"].kill()
    await kill_replica(scene)


async def _killed(part: Part) -> None:
    before = part.starts
    part.kill()
    await asyncio.to_thread(part.wait_ready, after=before)


FAULTS = (
    Fault("kill-replica", "kill -9 of a replica", kill_replica, 5.0),
    Fault("kill-worker", "kill -9 of a worker", kill_worker, 5.0, needs="worker"),
    Fault("restart-replicas", "rolling SIGTERM of every replica", restart_replicas, 2.0),
    Fault("reload-nginx", "five NGINX reloads", reload_nginx),
    Fault("kill-instance", "kill -9 of an instance", kill_instance, 3.0),
    Fault("stop-instance", "SIGSTOP of an instance", stop_instance, 8.0),
    Fault("restart-redis", "Redis restarted", restart_redis),
    Fault("kill-redis", "kill -9 of Redis", kill_redis),
    Fault("empty-redis", "Redis restarted empty", empty_redis),
    Fault("restart-postgres", "PostgreSQL restarted", restart_postgres),
    Fault("restart-chroma", "Chroma restarted", restart_chroma, needs="chroma"),
    Fault("kill-embedder", "kill -9 of the embedder", kill_embedder, needs="embedder"),
    Fault("kill-replica-and-redis", "both in the same moment", kill_two),
)
