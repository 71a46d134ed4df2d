"""Two versions of one document follow each other."""

from __future__ import annotations

import asyncio

from backend.ingest.in_flight import InFlight


async def test_a_name_waits_for_its_earlier_version_and_others_do_not():
    names = InFlight()
    await names.enter("a")
    second = asyncio.ensure_future(names.enter("a"))
    await names.enter("b")
    assert not second.done()
    await names.leave(["b"])
    await asyncio.sleep(0)
    assert not second.done()
    await names.leave(["a"])
    await second
