"""Two versions of one document follow each other."""

from __future__ import annotations

import asyncio

from backend.ingest.in_flight import InFlight
from tests.support.manual_clock import ManualClock


async def test_a_name_waits_for_its_earlier_version_and_others_do_not():
    clock = ManualClock()
    names = InFlight(clock)
    await names.enter("a")
    second = asyncio.ensure_future(names.enter("a"))
    await names.enter("b")
    assert not second.done()
    await names.leave(["b"])
    await asyncio.sleep(0)
    assert not second.done()
    clock.advance(3)
    assert names.age_s("a") == 3
    await names.leave(["a"])
    await second
    assert names.age_s("a") == 0
