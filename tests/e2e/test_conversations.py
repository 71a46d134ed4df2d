"""Conversations as the API shows them."""

from __future__ import annotations

from pathlib import Path

from backend.history.base import Owner
from tests.support.live_app import live_app, settings_in


async def test_as_many_turns_come_as_are_asked_for(tmp_path: Path, models_dir: Path) -> None:
    async with live_app(settings_in(tmp_path / "data", models_dir)) as app:
        history, owner = app.services.history, Owner("local", "local")
        conversation: str | None = None
        for number in range(52):
            conversation = await history.begin(owner, conversation, f"run-{number}", f"question {number}")
        path = f"/api/v1/conversations/{conversation}"

        async def asked(**query: int) -> list[str]:
            turns = (await app.client.get(path, params=query)).json()["turns"]
            return [turn["question"] for turn in turns]

        assert len(await asked()) == 50
        assert await asked(last=2) == ["question 50", "question 51"]
        assert len(await asked(last=500)) == 52
        for wrong in (0, 501):
            assert (await app.client.get(path, params={"last": wrong})).status_code == 422
