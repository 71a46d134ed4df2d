"""Many readers at once, each with a credential of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from backend.core.clock import SystemClock
from backend.core.types import Role
from backend.infra.sql import open_engine
from backend.security.sql import SqlKeys
from loadtests.durability.questions import Question
from loadtests.durability.reader import Follower, Reading


async def reader_keys(database: str, count: int) -> list[str]:
    """So many new keys of readers, made where `libriassist keys create` makes them."""
    engine = open_engine(database)
    try:
        keys = SqlKeys(engine, SystemClock())
        made = [
            await keys.create(
                name=f"reader {n}",
                tenant="local",
                roles=frozenset({Role.READER}),
                corpora=frozenset({"*"}),
            )
            for n in range(count)
        ]
        return [one.secret for one in made]
    finally:
        await engine.dispose()


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that opens a connection for each request: no reader waits for another's."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


def signed(key: str) -> dict[str, str]:
    """The headers of who has this key."""
    return {"Authorization": f"Bearer {key}"}


@dataclass(slots=True)
class Crew:
    """Readers who ask one question after the other until they are told to finish.

    Args:
        lengths: Fewest and most tokens of an answer.
        spread_s: Over which they begin.
    """

    session: aiohttp.ClientSession
    front: str
    keys: Sequence[str]
    lengths: tuple[int, int]
    spread_s: float
    seed: int = 1
    readings: list[Reading] = field(default_factory=list)
    _over: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self) -> None:
        """All of them, spread out."""
        self._tasks = [asyncio.ensure_future(self._read_on(n)) for n in range(len(self.keys))]

    async def finish(self, within_s: float) -> None:
        """Ask no more, read to the end; who has not ended by then stays as it is."""
        self._over = True
        _, late = await asyncio.wait(self._tasks, timeout=within_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def flowing(self) -> list[Reading]:
        """Answers of which text has come, and not all."""
        return [reading for reading in self.readings[-4 * len(self.keys) :] if reading.flows]

    async def _read_on(self, reader: int) -> None:
        chance = random.Random(f"{self.seed} {reader}")
        await asyncio.sleep(chance.random() * self.spread_s)
        while not self._over:
            question = Question(len(self.readings), chance.randint(*self.lengths))
            self.readings.append(reading := Reading(question, reader))
            headers = signed(self.keys[reader])
            await Follower(self.session, lambda _: self.front, reading, headers).follow()
