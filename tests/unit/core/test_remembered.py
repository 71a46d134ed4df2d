import asyncio

import pytest

from backend.core.remembered import Remembered
from tests.support.manual_clock import ManualClock


class Counted:
    """Answers how often it was asked, when it is let."""

    def __init__(self) -> None:
        self.calls = self.running = self.most = 0
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self) -> int:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.free.wait()
        finally:
            self.running -= 1
        return self.calls


@pytest.fixture
def clock():
    return ManualClock()


async def test_an_answer_holds_for_its_time_and_no_longer(clock):
    remembered = Remembered(Counted(), clock, fresh_s=1.0)
    assert [await remembered(), await remembered()] == [1, 1]
    clock.advance(0.9)
    assert await remembered() == 1
    clock.advance(0.1)
    assert await remembered() == 2


async def test_all_who_ask_at_once_wait_for_one_call(clock):
    ask = Counted()
    ask.free.clear()
    remembered = Remembered(ask, clock, fresh_s=1.0)
    waiting = asyncio.gather(*(remembered() for _ in range(200)))
    await asyncio.sleep(0)
    clock.advance(60)
    ask.free.set()
    assert await waiting == [1] * 200
    assert ask.most == 1


async def test_who_goes_away_while_asking_leaves_it_to_the_next(clock):
    ask = Counted()
    ask.free.clear()
    remembered = Remembered(ask, clock, fresh_s=1.0)
    first, second = asyncio.ensure_future(remembered()), asyncio.ensure_future(remembered())
    await asyncio.sleep(0)
    first.cancel()
    ask.free.set()
    assert await second == 2
    assert first.cancelled()


async def test_a_failure_is_not_remembered(clock):
    answers = iter([ValueError("no"), "yes"])

    async def ask() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    remembered = Remembered(ask, clock, fresh_s=1.0)
    with pytest.raises(ValueError, match="no"):
        await remembered()
    assert await remembered() == "yes"
