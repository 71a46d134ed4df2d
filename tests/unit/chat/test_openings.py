"""Whatever the database does meanwhile, an id that a reader was told is there in the end, with its turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.chat import openings, outbox
from backend.chat.openings import Openings
from backend.chat.outbox import Outbox
from backend.core.errors import LibriError, NotFound, StorageFull, StorageUnavailable
from backend.history.base import Owner, Turn
from backend.history.memory import MemoryHistory
from tests.support.manual_clock import ManualClock

ANN, BOB = Owner("t", "ann"), Owner("t", "bob")
Fault = LibriError | str | None


class Moody(MemoryHistory):
    """A history whose writes meet faults in turn: an error, or "made", and then an error all the same."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(ManualClock())
        self.faults = list(faults)
        self.away = asyncio.Event()
        self.away.set()

    async def begin(self, *arguments: Any, **named: Any) -> str:
        return await self._moody(super().begin, *arguments, **named)

    async def finish(self, *arguments: Any, **named: Any) -> None:
        return await self._moody(super().finish, *arguments, **named)

    async def turns(self, owner: Owner, conversation: str, *, last: int = 50) -> Any:
        return await super().turns(owner, conversation, last=last)

    async def _moody(self, write: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        await self.away.wait()
        await asyncio.sleep(0)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, LibriError):
            raise fault
        made = await write(*arguments, **named)
        if fault is not None:
            raise StorageUnavailable("it was made, and nobody heard of it")
        return made


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "AGAIN_S", 0.001)
    monkeypatch.setattr(outbox, "AT_LATEST_S", 0.002)
    monkeypatch.setattr(openings, "OPENING_S", 0.01)


async def nothing() -> None:
    pass


async def kept(history: Moody, conversation: str, many: int) -> list[Turn]:
    async with asyncio.timeout(20):
        while True:
            try:
                turns = list(await history.turns(ANN, conversation))
            except NotFound:
                turns = []
            if len(turns) == many:
                return turns
            await asyncio.sleep(0.002)


FAULTS = st.one_of(
    st.none(), st.just("made"), st.builds(StorageUnavailable), st.builds(StorageFull, st.just("full"))
)


@settings(max_examples=40, deadline=None)
@given(st.lists(FAULTS, max_size=8), st.integers(1, 4), st.booleans())
def test_every_turn_of_a_conversation_whose_id_was_told_is_kept_in_order(
    faults: list[Fault], many: int, at_once: bool
) -> None:
    async def asked() -> None:
        history = Moody(*faults)
        opened = Openings(history, box := Outbox())
        here, _ = await opened.open(ANN, None, "run0", "q", nothing)
        later = [f"run{n}" for n in range(1, many)]
        following = [follow_up(opened, here, run) for run in later]
        if at_once:
            await asyncio.gather(*following)
        else:
            for one in following:
                await one
        turns = await kept(history, here, many)
        assert [turn.run for turn in turns] == ["run0", *later]
        await box.close(1)

    asyncio.run(asked())


async def follow_up(opened: Openings, here: str, run: str) -> None:
    """A question in a conversation, as `Runs` asks it: told 404, it would fail."""
    await opened.earlier(ANN, here)
    assert (await opened.open(ANN, here, run, "q", nothing))[0] == here


async def test_an_id_that_was_told_while_the_database_was_away_is_there_without_another_question() -> None:
    history = Moody(StorageUnavailable("away"), StorageFull("full"), StorageUnavailable("away"))
    opened = Openings(history, Outbox())
    here, is_kept = await opened.open(ANN, None, "run0", "q", nothing)
    assert not is_kept
    await kept(history, here, 1)
    assert await opened.is_kept(ANN, here, "run0")


async def test_a_conversation_that_is_being_kept_just_now_is_never_missing() -> None:
    history = Moody()
    opened = Openings(history, Outbox())
    history.away.clear()
    here, is_kept = await opened.open(ANN, None, "run0", "q", nothing)
    assert not is_kept
    reading = MemoryHistory.turns

    async def kept_meanwhile(*arguments: Any, **named: Any) -> Any:
        try:
            return await reading(history, *arguments, **named)
        finally:
            history.away.set()  # after it was not found, and before that is judged
            await asyncio.sleep(0.01)

    history.turns = kept_meanwhile  # type: ignore[method-assign]
    assert await opened.earlier(ANN, here) == ([], False)


async def test_anothers_conversation_does_not_exist_though_its_turn_is_not_kept_yet() -> None:
    history = Moody(StorageUnavailable("away"))
    opened = Openings(history, Outbox())
    here, _ = await opened.open(ANN, None, "run0", "q", nothing)
    with pytest.raises(NotFound):
        await opened.earlier(BOB, here)
    await kept(history, here, 1)
    with pytest.raises(NotFound):
        await opened.open(BOB, here, "run1", "q", nothing)


async def test_what_is_to_be_done_once_a_turn_is_kept_is_done_however_late() -> None:
    history = Moody(StorageUnavailable("away"), StorageUnavailable("away"))
    opened = Openings(history, Outbox())
    done = asyncio.Event()

    async def then() -> None:
        done.set()

    await opened.open(ANN, None, "run0", "q", then)
    async with asyncio.timeout(20):
        await done.wait()
