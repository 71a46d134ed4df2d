"""The stand-in that plays scripted answers to the page invents nothing: the real API says all that it says.

It stays, since only it can drop a connection in mid-event, repeat events, hold one back until a test lets it
go, and refuse when told to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from backend.engines.scripted import ScriptedEngine, recite
from tests.support.live_app import HOURS, events, live_app, scripted, settings_in
from tests.support.page_server import Script, Stage, create, document, model, serving

API = "/api/v1"
QUESTION = {"question": "When does the library open?"}


def invented(said: Any, real: Any, where: str) -> list[str]:
    """Fields that are said and not real; what is empty on one side tells nothing."""
    if isinstance(said, dict) and isinstance(real, dict):
        new = [f"{where}.{name}" for name in said.keys() - real.keys()]
        both = said.keys() & real.keys()
        return new + [found for name in both for found in invented(said[name], real[name], f"{where}.{name}")]
    if isinstance(said, list) and isinstance(real, list) and said and real:
        return invented(said[0], real[0], where)
    return []


async def everything_said(url: str, *, document_name: str) -> dict[str, Any]:
    """An answer of every endpoint that the page calls, and the data of every event of an answer."""
    said: dict[str, Any] = {}
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        async with client.stream(
            "POST", f"{API}/chat/stream", json=QUESTION, headers={"Idempotency-Key": "k"}
        ) as it:
            async for event in events(it):
                said[f"event {event.name}"] = event.data
        upload = await client.post(
            f"{API}/documents", files={"file": ("more.md", b"# More\n\nMore of it.\n")}
        )
        said["upload"] = upload.json()
        job = said["upload"]["id"]
        for name in ("session", "models", "conversations", "documents", f"ingestions/{job}"):
            said[name.replace(job, "ID")] = (await client.get(f"{API}/{name}")).json()
        conversation = said["conversations"]["conversations"][0]["id"]
        said["conversation"] = (await client.get(f"{API}/conversations/{conversation}")).json()
        one = next(d for d in said["documents"]["documents"] if d["name"] == document_name)
        said["text"] = (await client.get(f"{API}/documents/{one['id']}/text")).json()
        said["markdown"] = (await client.post(f"{API}/markdown", json={"text": "**x**"})).json()
        said["problem"] = (await client.get(f"{API}/runs/nobody/events")).json()
    return said


async def test_the_stand_in_invents_nothing(tmp_path: Path, models_dir: Path) -> None:
    engine = ScriptedEngine(recite("The library opens at nine [1]."))
    async with live_app(settings_in(tmp_path / "data", models_dir), scripted(engine)) as app:
        await app.put(HOURS)
        real = await everything_said(app.url, document_name=HOURS[0])
    script = Script(documents=[document("guide.md")], models=[model("plain:8b")])
    with serving(create(Stage(script))) as url:
        said = await everything_said(url, document_name="guide.md")
    assert {name for name in said if name.startswith("event")} <= real.keys()
    assert [found for name, one in said.items() for found in invented(one, real[name], name)] == []
