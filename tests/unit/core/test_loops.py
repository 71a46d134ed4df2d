import asyncio
import logging
import random

import pytest

from backend.core.aio import Background
from backend.core.loops import LONGEST_PAUSE_S, SETTLED_S, Loops
from tests.support.manual_clock import ManualClock


class Site:
    """Loops whose pauses are told instead of waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.background, self.clock = Background(), ManualClock()
        self.failed: list[str] = []
        self.pauses: list[float] = []
        self.loops = Loops(self.background, self.clock, failed=self.failed.append, chance=random.Random(7))
        sleep = asyncio.sleep

        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)
            self.clock.advance(seconds)
            await sleep(0)

        monkeypatch.setattr("backend.core.loops.asyncio.sleep", pause)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    for _ in range(1000):
        if condition():
            return
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    raise AssertionError("it did not come to that")


async def test_a_loop_that_raises_is_begun_again_told_and_counted(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    begun = []

    async def work() -> None:
        begun.append(1)
        if len(begun) <= 2:
            raise ValueError("boom")
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        site.loops.start(work, name="work")
        await until(lambda: len(begun) == 3)
    assert site.failed == ["work", "work"]
    assert [record.__dict__["event"] for record in caplog.records] == ["loop_failed"] * 2
    assert site.loops.failing() == {"work": "ValueError"}
    site.clock.advance(SETTLED_S)
    assert site.loops.failing() == {}
    await site.background.close()


async def test_pauses_grow_to_a_bound_and_are_not_all_alike(site: Site) -> None:
    async def work() -> None:
        raise ValueError

    site.loops.start(work, name="work")
    await until(lambda: len(site.pauses) >= 12)
    await site.background.close()
    assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(site.pauses[:5]))
    assert max(site.pauses) <= LONGEST_PAUSE_S
    assert len(set(site.pauses)) == len(site.pauses)


async def test_after_it_has_settled_the_first_pause_is_short_again(site: Site) -> None:
    begun = []

    async def work() -> None:
        begun.append(1)
        if len(begun) == 6:
            site.clock.advance(SETTLED_S)  # it went on for so long
        if len(begun) <= 6:
            raise ValueError
        await asyncio.Event().wait()

    site.loops.start(work, name="work")
    await until(lambda: len(begun) == 7)
    await site.background.close()
    assert site.pauses[-1] <= 1.0 < site.pauses[-2]


async def test_one_that_returns_is_over_and_one_that_is_cancelled_is_no_failure(site: Site) -> None:
    async def once() -> None:
        return

    site.loops.start(once, name="once")
    site.loops.start(asyncio.Event().wait, name="for ever")  # type: ignore[arg-type]
    await until(lambda: len(site.background) == 1)
    await site.background.close()
    assert site.failed == []
