import asyncio
import logging

import pytest

from backend.core.aio import Background, Elapsed, Limit, soon


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


async def test_a_wait_within_its_limit_gives_its_result() -> None:
    with Limit() as limit:
        assert await limit.within(30, asyncio.sleep(0, "done")) == "done"


async def test_a_wait_beyond_its_limit_is_cancelled_and_its_task_goes_on() -> None:
    forever = asyncio.get_running_loop().create_future()
    with Limit() as limit:
        with pytest.raises(Elapsed):
            await limit.within(0.01, forever)
        assert await limit.within(30, asyncio.sleep(0.02, "the next")) == "the next"
    assert forever.cancelled()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_short_waits_do_not_add_up() -> None:
    with Limit() as limit:
        for _ in range(20):
            await limit.within(0.1, asyncio.sleep(0.01))


async def test_a_shorter_limit_after_a_longer_one_counts() -> None:
    with Limit() as limit:
        await limit.within(600, asyncio.sleep(0))
        with pytest.raises(Elapsed):
            await limit.within(0.01, asyncio.sleep(600))


async def test_a_timeout_from_within_is_not_taken_for_the_limit() -> None:
    async def fails() -> None:
        raise TimeoutError("of its own")

    with Limit() as limit, pytest.raises(TimeoutError) as raised:
        await limit.within(30, fails())
    assert not isinstance(raised.value, Elapsed)


async def test_a_cancellation_passes_through_even_where_the_limit_is_over_too() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            task.cancel()  # from outside, while the limit's own is under way
            raise

    async def waits() -> None:
        with Limit() as limit:
            await limit.within(0.01, stubborn())

    task = asyncio.ensure_future(waits())
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_limit_that_is_left_fires_no_more() -> None:
    with Limit() as limit:
        await limit.within(0.01, asyncio.sleep(0))
    await asyncio.sleep(0.03)


async def test_nobody_waits_for_the_end_of_what_was_given_up() -> None:
    ended = asyncio.Event()

    async def slow_to_cancel() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            ended.set()

    with pytest.raises(TimeoutError):
        await soon(0.01, slow_to_cancel())
    assert not ended.is_set()
    await asyncio.wait_for(ended.wait(), 5)


async def test_what_comes_soon_is_returned_and_its_error_raised() -> None:
    async def fails() -> None:
        raise KeyError("x")

    assert await soon(5, asyncio.sleep(0, "here")) == "here"
    with pytest.raises(KeyError):
        await soon(5, fails())


async def test_cancelling_the_waiter_gives_the_work_up() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    waiter = asyncio.ensure_future(soon(60, work()))
    await asyncio.sleep(0.01)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await asyncio.wait_for(cancelled.wait(), 5)
