"""In whatever order things happen: no slot is taken twice, none is lost, none idles while somebody waits."""

import asyncio
from contextlib import aclosing

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.errors import EngineError, EngineTimeout, EngineUnreachable, LibriError
from backend.engines.base import End, Text
from backend.engines.scripted import Hold, ScriptedEngine
from backend.pool.memory import MemoryPool
from tests.support.asks import a_request, an_ask, an_instance
from tests.support.manual_clock import ManualClock

ENDS = st.sampled_from([None, EngineUnreachable(), EngineTimeout(), EngineError()])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), ENDS, st.booleans()),
        st.tuples(st.just("release"), st.integers(0, 30)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("advance"), st.sampled_from([1.0, 31.0])),
    ),
    max_size=40,
)


class World:
    """A pool whose generations last until they are released."""

    def __init__(self, slots):
        self.clock = ManualClock()
        self.plans = {}
        self.releases = {}
        self.readers = []
        self.engines = [ScriptedEngine(choose=self._script) for _ in slots]
        instances = [
            an_instance(engine, f"i{n}", slots=many)
            for n, (engine, many) in enumerate(zip(self.engines, slots, strict=True))
        ]
        self.slots = slots
        self.pool = MemoryPool(instances, self.clock, queue_limit=5, refresh_s=1e-9)

    def _script(self, _endpoint, request):
        ending, late = self.plans[request.question]
        hold = Hold(self.releases[request.question])
        if ending is None:
            return (Text("a"), hold, End("stop"))
        return (Text("a"), hold, ending) if late else (hold, ending)

    async def ask(self, ending, late):
        name = str(len(self.readers))
        self.plans[name] = (ending, late)
        self.releases[name] = asyncio.Event()
        self.readers.append(asyncio.ensure_future(self._read(name)))

    async def _read(self, name):
        try:
            async with aclosing(self.pool.generate(an_ask(name), a_request(name))) as events:
                async for _ in events:
                    self.check_slots()
        except LibriError:
            pass

    async def release(self, n):
        if self.readers:
            self.releases[str(n % len(self.readers))].set()

    async def cancel(self, n):
        if self.readers:
            self.readers[n % len(self.readers)].cancel()

    async def advance(self, seconds):
        self.clock.advance(seconds)

    async def settle(self):
        for _ in range(30):
            await asyncio.sleep(0)

    def check_slots(self):
        for engine, state, many in zip(self.engines, self.pool.state(), self.slots, strict=True):
            assert engine.open <= state.in_flight <= many
            assert engine.most_open <= many

    def check_nobody_waits_beside_a_free_slot(self):
        free = any(s.health == "closed" and s.in_flight < s.slots for s in self.pool.state())
        assert not (free and any(len(t.tried) == 0 for t in self.pool._queue))

    async def finish(self):
        for reader in self.readers:
            reader.cancel()
        outcomes = await asyncio.gather(*self.readers, return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert self.pool.waiting() == 0
        assert [state.in_flight for state in self.pool.state()] == [0] * len(self.slots)
        assert [engine.open for engine in self.engines] == [0] * len(self.slots)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), STEPS)
async def test_slots_are_neither_taken_twice_nor_lost(slots, steps):
    world = World(slots)
    for name, *arguments in steps:
        await getattr(world, name)(*arguments)
        await world.settle()
        world.check_slots()
        world.check_nobody_waits_beside_a_free_slot()
    await world.finish()
