"""Whether a service answers, as those who want something of it learn it."""

import asyncio

import pytest

from backend.core.errors import EmbedderUnavailable
from backend.embedding.link import Link

GONE = EmbedderUnavailable("gone", retry_after_s=1)


class Service:
    """Answers a look when it is let."""

    def __init__(self):
        self.looks = 0
        self.is_there = False
        self.may_answer = asyncio.Event()

    async def look(self):
        self.looks += 1
        await self.may_answer.wait()
        if not self.is_there:
            raise GONE


@pytest.fixture
def service():
    return Service()


@pytest.fixture
async def link(service):
    made = Link(service.look, pause_s=0.001)
    yield made
    await made.close()


async def test_the_first_callers_wait_for_the_first_look(service, link):
    callers = [asyncio.ensure_future(link.ready()) for _ in range(20)]
    await asyncio.sleep(0.01)
    assert not any(one.done() for one in callers)
    service.is_there = True
    service.may_answer.set()
    await asyncio.gather(*callers)
    assert service.looks == 1


async def test_while_it_is_away_everybody_is_told_at_once_and_one_looks_for_it(service, link):
    service.may_answer.set()
    with pytest.raises(EmbedderUnavailable, match="gone"):
        await link.ready()
    service.may_answer.clear()
    await asyncio.sleep(0.01)
    before = service.looks
    for _ in range(50):
        with pytest.raises(EmbedderUnavailable) as raised:
            await asyncio.wait_for(link.ready(), 0.5)
        assert raised.value.retry_after_s == 1
    assert service.looks == before


async def test_it_is_back_by_itself(service, link):
    service.may_answer.set()
    with pytest.raises(EmbedderUnavailable):
        await link.ready()
    service.is_there = True
    async with asyncio.timeout(5):
        while True:
            try:
                await link.ready()
                break
            except EmbedderUnavailable:
                await asyncio.sleep(0.001)
    looks = service.looks
    await asyncio.sleep(0.02)
    assert service.looks == looks, "nobody looks for what is there"


async def test_what_is_lost_is_looked_for_at_once(service, link):
    service.is_there = True
    service.may_answer.set()
    await link.ready()
    service.may_answer.clear()
    link.lost(EmbedderUnavailable("silent"))
    with pytest.raises(EmbedderUnavailable, match="silent"):
        await link.ready()
    service.may_answer.set()
    await asyncio.sleep(0.01)
    await link.ready()
