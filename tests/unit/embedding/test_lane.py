import asyncio
import threading

import numpy as np
import pytest

from backend.core.errors import EmbedderUnavailable
from backend.embedding.lane import Lane


class Encoder:
    """Counts texts; holds the first pass until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.passes: list[list[str]] = []
        self.started = threading.Event()
        self.go = threading.Event()
        if not held:
            self.go.set()

    def __call__(self, texts):
        self.passes.append(list(texts))
        self.started.set()
        assert self.go.wait(5)
        if "bad" in texts:
            raise RuntimeError("broken")
        return np.array([[float(len(text))] for text in texts], np.float32)


async def busy(encoder, lane):
    """A caller whose pass runs and is held."""
    first = asyncio.ensure_future(lane.run(["first"]))
    await asyncio.to_thread(encoder.started.wait, 5)
    return first


@pytest.fixture
def held():
    encoder = Encoder(held=True)
    lane = Lane(encoder, batch_size=4, limit=6, name="test")
    yield encoder, lane
    encoder.go.set()
    lane.close()


async def test_what_waits_together_shares_a_pass_up_to_its_size(held):
    encoder, lane = held
    first = await busy(encoder, lane)
    rest = [asyncio.ensure_future(lane.run([text])) for text in ("a", "bb", "ccc", "dddd", "eeeee")]
    await asyncio.sleep(0)
    encoder.go.set()
    assert [row[0, 0] for row in await asyncio.gather(*rest)] == [1, 2, 3, 4, 5]
    assert (await first)[0, 0] == 5
    assert encoder.passes == [["first"], ["a", "bb", "ccc", "dddd"], ["eeeee"]]


async def test_a_caller_that_goes_away_takes_only_its_own_texts(held):
    encoder, lane = held
    first = await busy(encoder, lane)
    gone, stays = (asyncio.ensure_future(lane.run([text])) for text in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    await asyncio.gather(gone, first, return_exceptions=True)
    encoder.go.set()
    assert (await stays)[0, 0] == 5
    assert encoder.passes == [["first"], ["stays"]]


async def test_over_the_limit_is_refused_and_those_who_wait_stay(held):
    encoder, lane = held
    first = await busy(encoder, lane)
    waiting = [asyncio.ensure_future(lane.run(["a", "b", "c"])) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(EmbedderUnavailable) as refused:
        await lane.run(["one more"])
    assert refused.value.retry_after_s is not None
    encoder.go.set()
    assert [rows.shape for rows in await asyncio.gather(first, *waiting)] == [(1, 1), (3, 1), (3, 1)]


async def test_a_pass_that_fails_fails_its_callers_and_no_others():
    lane = Lane(Encoder(), batch_size=1, limit=9, name="test")
    bad, good = await asyncio.gather(lane.run(["bad"]), lane.run(["good"]), return_exceptions=True)
    assert isinstance(bad, EmbedderUnavailable)
    assert isinstance(bad.__cause__, RuntimeError)
    assert good[0, 0] == 4
    lane.close()


async def test_closing_refuses_what_waits_and_what_comes(held):
    encoder, lane = held
    first = await busy(encoder, lane)
    waiting = asyncio.ensure_future(lane.run(["a"]))
    await asyncio.sleep(0)
    lane.close()
    with pytest.raises(EmbedderUnavailable):
        await waiting
    encoder.go.set()
    assert (await first).shape == (1, 1)
    with pytest.raises(EmbedderUnavailable):
        await lane.run(["b"])
