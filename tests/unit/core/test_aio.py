import asyncio
import logging

import pytest

from backend.core.aio import Background


async def test_one_that_fails_is_logged_and_takes_no_other_down(caplog: pytest.LogCaptureFixture) -> None:
    work = Background()

    async def fail() -> None:
        raise ValueError("boom")

    survivor = work.start(asyncio.Event().wait(), name="waits")  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR):
        await asyncio.wait([work.start(fail(), name="fails")])
    assert not survivor.done()
    assert "background task failed" in caplog.text
    await work.close()
    assert survivor.cancelled()
    assert len(work) == 0


async def test_draining_waits_for_what_ends_in_time_only() -> None:
    work = Background()
    quick = work.start(asyncio.sleep(0), name="quick")
    slow = work.start(asyncio.sleep(60), name="slow")
    await work.drain(0.05)
    assert quick.done()
    assert not quick.cancelled()
    assert slow.cancelled()


async def test_no_more_than_the_limit_run_at_once() -> None:
    work = Background(limit=1)
    work.start(asyncio.sleep(60), name="one")
    with pytest.raises(RuntimeError):
        work.start(asyncio.sleep(60), name="two")
    await work.close()
