"""More is asked than can be answered: who is refused pays nothing, through the whole application."""

from __future__ import annotations

import asyncio
from pathlib import Path

from backend.engines.base import End, Endpoint, Text
from backend.engines.scripted import Hold, ScriptedEngine
from backend.pool.base import Instance
from tests.support.live_app import HOURS, live_app, settings_in

QUESTION = "When does the library open in the morning, question {}?"


async def test_who_finds_no_room_is_refused_before_anything_is_searched(
    tmp_path: Path, models_dir: Path
) -> None:
    goes_on = asyncio.Event()
    engine = ScriptedEngine((Text("It opens at nine [1]."), Hold(goes_on), End("stop")), models=("m",))
    one = Instance("one", Endpoint("http://127.0.0.1:1"), engine, slots=1)
    settings = settings_in(tmp_path / "data", models_dir, engine={"queue_limit": 0})
    async with live_app(settings, [one]) as app:
        await app.put(HOURS)
        first = asyncio.create_task(app.ask(QUESTION.format(1)))
        async with asyncio.timeout(30):
            while not (await app.services.pool.status()).instances[0].in_flight:
                await asyncio.sleep(0.01)
        events = await app.ask(QUESTION.format(2))
        goes_on.set()
        assert (await first)[-1].name == "done"
    assert [event.name for event in events] == ["started", "error"], "no passage was looked for"
    assert events[-1].data["code"] == "pool_full"
    assert events[-1].data["retry_after_s"] >= 1
