"""Addresses of PostgreSQL as hosting services hand them out, tried on a server with and without TLS."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from sqlalchemy import text

from backend.core.errors import Misconfigured, StorageUnavailable
from backend.infra.database_url import parse
from backend.infra.sql import open_engine, reason, transaction
from tests.support.postgres import postgres_server

PASSWORD = "p@ss/w:rd é%"


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """`USER@HOST:PORT` of a server that speaks TLS with a certificate of its own, and plainly."""
    with postgres_server(tls=True) as url:
        yield urlsplit(url).netloc


@pytest.fixture(scope="module")
def socket_folder(place: str) -> str:
    return asyncio.run(asked(f"postgresql://{place}/postgres", "SHOW unix_socket_directories"))


async def asked(url: str, sql: str) -> str:
    engine = open_engine(url)
    try:
        async with transaction(engine) as connection:
            return str((await connection.execute(text(sql))).scalar())
    finally:
        await engine.dispose()


TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.mark.parametrize(
    "scheme", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg2", "POSTGRES"]
)
@pytest.mark.parametrize(
    ("query", "sql", "says"),
    [
        ("", "SELECT 1", "1"),
        ("?sslmode=require", TLS, "True"),
        ("?sslmode=disable", TLS, "False"),
        ("?ssl=true", TLS, "True"),
        ("?sslmode=require&channel_binding=require", TLS, "True"),
        ("?sslmode=no-verify&connect_timeout=7&application_name=a", "SHOW application_name", "a"),
        ("?options=-c%20search_path%3Dshelf", "SHOW search_path", "shelf"),
        ("?schema=shelf&connection_limit=5&pgbouncer=true", "SHOW search_path", "shelf"),
        ("?target_session_attrs=read-write&prepared_statement_cache_size=0", "SELECT 1", "1"),
    ],
)  # fmt: skip
async def test_it_connects_as_it_says(place: str, scheme: str, query: str, sql: str, says: str) -> None:
    assert await asked(f"{scheme}://{place}/postgres{query}", sql) == says


async def test_a_certificate_is_checked_where_that_is_asked(place: str, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        await asked(f"postgresql://{place}/postgres?sslmode=verify-full&sslrootcert=system", TLS)
    assert "certificate verify failed" in reason(caught.value.__cause__)


async def test_sockets_several_hosts_and_encoded_passwords_are_understood(
    place: str, socket_folder: str
) -> None:
    user, _, host = place.partition("@")
    port = host.rpartition(":")[2]
    for url in (
        f"postgresql://{user}@/postgres?host={socket_folder}&port={port}",
        f"postgresql://{user}@{quote(socket_folder, safe='')}:{port}/postgres",
        f"postgresql:///postgres?host={socket_folder}&port={port}&user={user}",
        f"postgresql://{user}@127.0.0.1:1,{host}/postgres",
        f"postgresql://{user}:{quote(PASSWORD, safe='')}@{host}/postgres?sslmode=require",
    ):
        assert await asked(url, "SELECT current_user") == user, url


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda place: f"nobody:hunter2@{place.rpartition('@')[2]}/postgres", 'role "nobody" does not exist'),
        (lambda place: f"{place}/nope", 'database "nope" does not exist'),
        (lambda _: "libri:hunter2@127.0.0.1:1/postgres", "Connect call failed"),
        (lambda _: "libri:hunter2@nowhere.invalid/postgres", "Name or service not known"),
        (lambda place: f"{place}/postgres?sslmode=verify-ca&sslrootcert=/nowhere", "No such file"),
    ],
)
async def test_why_it_does_not_connect_is_told_without_the_password(place: str, change, why: str) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        await asked(f"postgresql://{change(place)}", "SELECT 1")
    said = reason(caught.value.__cause__)
    assert why in said
    assert "\n" not in said
    assert "hunter2" not in said


async def test_a_server_without_tls_is_told_from_one_that_has_it() -> None:
    with postgres_server() as url:
        assert await asked(url.replace("+asyncpg", ""), TLS) == "False"
        with pytest.raises(StorageUnavailable) as caught:
            await asked(url + "?sslmode=require", TLS)
    assert "rejected SSL upgrade" in reason(caught.value.__cause__)


def test_what_is_left_out_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_engine(
            "postgresql://u@db/x?channel_binding=require&sslsni=1&gssencmode=prefer&tcp_user_timeout=9"
        )
    assert sorted(record.args[0] for record in caplog.records) == [
        "channel_binding=require",
        "tcp_user_timeout=9",
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:hunter2@h/x", "postgresql://"),
        ("jdbc:postgresql://u:hunter2@h/x", "postgresql://"),
        ("/var/lib/x.db", "sqlite:////"),
        ("hunter2", "postgresql://"),
        ("postgresql+pg9000://u:hunter2@h/x", "driver"),
        ("postgresql://u:hunter2@h:port/x", "port"),
        ("postgresql://u:hunter2@h:0/x", "port"),
        ("postgresql://u:hun@ter2@h/x", "%XX"),
        ("postgresql://u:hun/hunter2@h/x", "%XX"),
        ("postgresql://u:hunter2@h/x?sslmode=often", "verify-full"),
        ("postgresql://u:hunter2@h/x?connect_timeout=soon", "connect_timeout"),
        ("postgresql://u:hunter2@h/x?sslmod=require&foo=1", "foo, sslmod"),
        ("sqlite://x.db", "sqlite:///x.db"),
        ("sqlite://", "nothing"),
        ("sqlite:///:memory:", "nothing"),
        ("sqlite:///x.db?mode=ro&uri=true", "mode, uri"),
    ],
)
def test_what_cannot_be_honoured_is_named(url: str, said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse(url)
    assert said in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{}",
        "sqlite+aiosqlite:///{}",
        "sqlite3:///{}",
        "sqlite+pysqlite:///{}?timeout=3",
        "SQLite:///{}",
    ],
)
async def test_sqlite_may_be_written_as_others_write_it(url: str, tmp_path: Path) -> None:
    file = tmp_path / "x y.db"
    assert await asked(url.format(file), "SELECT 1") == "1"
    assert file.exists()


@pytest.mark.parametrize("name", ["what?.db", "100%.db", "a#b.db", "é.db"])
async def test_the_default_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    engine = open_engine(tmp_path / name)
    async with transaction(engine) as connection:
        await connection.execute(text("SELECT 1"))
    await engine.dispose()
    assert (tmp_path / name).exists()
