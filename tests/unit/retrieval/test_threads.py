import asyncio
import threading

import pytest

from backend.core.errors import RetrievalUnavailable
from backend.retrieval.threads import Threads


async def test_calls_beyond_the_limit_fail_at_once_and_room_comes_back():
    threads, go = Threads("test", workers=1, limit=2), threading.Event()
    waiting = [asyncio.ensure_future(threads.call(lambda: go.wait(5))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(RetrievalUnavailable):
        await threads.call(lambda: True)
    go.set()
    assert await asyncio.gather(*waiting) == [True, True]
    assert await threads.call(lambda: True)
    threads.close()


async def test_a_caller_that_goes_away_does_not_free_a_thread_that_hangs():
    threads, go = Threads("test", workers=1, limit=1), threading.Event()
    gone = asyncio.ensure_future(threads.call(lambda: go.wait(5)))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    with pytest.raises(RetrievalUnavailable):
        await threads.call(lambda: True)
    go.set()
    threads.close()


async def test_after_closing_calls_are_refused():
    threads = Threads("test", workers=1)
    threads.close()
    with pytest.raises(RetrievalUnavailable):
        await threads.call(lambda: True)
