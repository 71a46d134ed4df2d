"""What really happened: at the emulators, which write down every request, and in the database."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from sqlalchemy import select

from backend.history.tables import turns
from backend.infra.sql import open_engine
from loadtests.durability.questions import number_of


@dataclass(slots=True)
class Emulators:
    """The requests that emulated instances served, those of instances that were killed since too.

    Args:
        controls: Where each is asked, by its name.
    """

    session: aiohttp.ClientSession
    controls: Mapping[str, str]
    _ended: list[dict[str, Any]] = field(default_factory=list)

    async def before_death(self, name: str) -> None:
        """Keep what this one knows: with its process it is gone."""
        self._ended += await self._of(self.controls[name])

    async def requests(self) -> list[dict[str, Any]]:
        """All, of chats only."""
        living = await asyncio.gather(*(self._of(url) for url in self.controls.values()))
        return [one for one in [*self._ended, *(r for rs in living for r in rs)] if "chat" in one["path"]]

    async def busiest(self) -> str:
        """The name of the instance at which most requests run."""
        running = await asyncio.gather(*(self._running(url) for url in self.controls.values()))
        return max(zip(running, self.controls, strict=True))[1]

    async def _running(self, url: str) -> int:
        async with self.session.get(f"{url}/__emu/state") as answer:
            return sum(int(runner["refs"]) for runner in (await answer.json())["loaded"])

    async def _of(self, url: str) -> list[dict[str, Any]]:
        async with self.session.get(f"{url}/__emu/requests") as answer:
            return list((await answer.json())["requests"])


@dataclass(frozen=True, slots=True)
class Generations:
    """How often each question was answered from its first word, and how often gone on with.

    Attributes:
        whole: Requests without a beginning of which at least a token was said, and how many, by question.
        continued: Requests to go on from a beginning, by question.
        tokens: Said in all, by question.
    """

    whole: Mapping[int, Sequence[int]]
    continued: Mapping[int, int]
    tokens: Mapping[int, int]


def generations(requests: Sequence[Mapping[str, Any]]) -> Generations:
    """Counted at the model servers."""
    whole = defaultdict[int, list[int]](list)
    continued, tokens = Counter[int](), Counter[int]()
    for one in requests:
        if (number := number_of(one["question"])) is None:
            continue
        tokens[number] += one["tokens"]
        if one["begun"]:
            continued[number] += 1
        elif one["tokens"]:
            whole[number].append(one["tokens"])
    return Generations(whole, continued, tokens)


@dataclass(frozen=True, slots=True)
class Turn:
    """A row of the history."""

    state: str
    answer: str


async def kept_turns(database: str) -> dict[int, list[Turn]]:
    """What the history holds, by question."""
    engine = open_engine(database)
    try:
        async with engine.begin() as sql:
            rows = (await sql.execute(select(turns.c.question, turns.c.state, turns.c.answer))).all()
    finally:
        await engine.dispose()
    found = defaultdict[int, list[Turn]](list)
    for question, state, answer in rows:
        if (number := number_of(question)) is not None:
            found[number].append(Turn(state, answer))
    return found
