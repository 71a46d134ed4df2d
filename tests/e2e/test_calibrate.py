"""`libriassist calibrate` over documents and questions of an operator."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from backend.calibration.files import CALIBRATIONS, calibration_for
from backend.cli.calibrate import calibrate
from backend.config import Settings
from backend.core.errors import InvalidRequest
from backend.wiring.services import open_services
from tests.support.live_app import DEFAULT, settings_in
from tests.support.places import documents, questions

ID = "all-MiniLM-L6-v2/int8"


@pytest.fixture(scope="module")
def read_folder(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """A data folder that holds the documents, read once; each test has a copy."""
    folder = tmp_path_factory.mktemp("read") / "data"

    async def read() -> None:
        async with open_services(settings_in(folder, models_dir), instances=()) as services:
            started = await services.ingestion.submit(DEFAULT, documents())
            await services.ingestion.run_to_end(DEFAULT.tenant, started.id)

    asyncio.run(read())
    return folder


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path, read_folder: Path) -> Settings:
    return settings_in(shutil.copytree(read_folder, tmp_path / "data"), models_dir)


def asked(tmp_path: Path, *rows: dict[str, str]) -> Path:
    path = tmp_path / "asked.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


async def test_what_is_fitted_is_in_force_from_the_next_start(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = settings.data.dir / CALIBRATIONS
    before = calibration_for(ID, folder)
    assert await calibrate(settings, asked(tmp_path, *questions()), corpus="default") == 0
    after = calibration_for(ID, folder)
    assert "in force from the next start" in " ".join(capsys.readouterr().out.split())
    assert after.gate.both["en"] != before.gate.both["en"]
    assert after.by_meaning not in (None, before.by_meaning)
    async with open_services(settings, instances=()):
        pass


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"question": "Where?", "language": "en", "document": "gone.md"}], "holds no document 'gone.md'"),
        (
            [{"question": "Where?", "language": "en", "document": "place-01.md", "answer": "seven moons"}],
            "no passage of 'place-01.md' holds the answer 'seven moons'",
        ),
        (questions()[:5], "nothing was fitted"),
    ],
)
async def test_what_cannot_be_used_is_refused_and_nothing_written(
    settings: Settings, tmp_path: Path, rows: list[dict[str, str]], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        await calibrate(settings, asked(tmp_path, *rows), corpus="default")
    with pytest.raises(InvalidRequest, match="holds no document: `libriassist ingest` first"):
        await calibrate(settings, asked(tmp_path, *rows), corpus="another")
    assert not (settings.data.dir / CALIBRATIONS).exists()
