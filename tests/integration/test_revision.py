"""What is known of migrations without Alembic is what Alembic knows."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from backend.config import Data, Settings
from backend.core.errors import Misconfigured
from backend.infra.migrate import migrate
from backend.infra.revision import revision
from backend.infra.revisions import HEAD, KNOWN
from backend.infra.sql import open_engine, transaction
from backend.wiring.keys import open_keys

SCRIPTS = ScriptDirectory(str(Path(__file__).parents[2] / "backend/infra/migrations"))


def test_the_revisions_are_those_of_alembic() -> None:
    assert SCRIPTS.get_heads() == [HEAD]
    assert {one.revision for one in SCRIPTS.walk_revisions()} == KNOWN


async def test_a_database_tells_where_it_is(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "x.db")
    assert await revision(engine) is None
    await migrate(engine)
    assert await revision(engine) == HEAD
    await engine.dispose()


async def test_a_newer_release_is_told_from_an_older_one(tmp_path: Path) -> None:
    settings = Settings(data=Data(dir=tmp_path))
    async with open_keys(settings) as keys:
        assert not await keys.keys()
    async with open_keys(settings) as keys:
        assert not await keys.keys()
    engine = open_engine(settings.database)
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'from the future'"))
    await engine.dispose()
    with pytest.raises(Misconfigured, match="newer release"):
        async with open_keys(settings):
            pass
