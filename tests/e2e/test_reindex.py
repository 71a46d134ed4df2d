"""`libriassist reindex` over everything that is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.cli.ingest import reindex
from backend.core.types import Role
from backend.corpus.base import CorpusRef
from backend.wiring.services import open_services
from tests.support.live_app import DEFAULT, GARDEN, HOURS, settings_in

THEIRS = CorpusRef("them", "papers")


async def test_the_documents_of_all_tenants_are_read_again(
    tmp_path: Path, models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_in(tmp_path / "data", models_dir)
    async with open_services(settings, instances=()) as services:
        await services.keys.create(
            name="them", tenant="them", roles=frozenset(Role), corpora=frozenset({"*"})
        )
        for corpus, file in ((DEFAULT, HOURS), (THEIRS, GARDEN)):
            started = await services.ingestion.submit(corpus, [file])
            await services.ingestion.run_to_end(corpus.tenant, started.id)
    assert await reindex(settings) == 0
    assert capsys.readouterr().err.count("1 read") == 2
