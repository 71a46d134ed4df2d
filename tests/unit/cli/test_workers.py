"""Which settings several workers may start with."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.__main__ import main

SHARED = {
    "REDIS_URL": "redis://cache:6379",
    "DATABASE_URL": "postgresql://db/libri",
    "CHROMA_URL": "http://chroma:8000",
}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["serve", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SHARED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIBRI_DATA__DIR", str(tmp_path / "data"))


@pytest.mark.parametrize("missing", [tuple(SHARED), *((name,) for name in SHARED)], ids=" ".join)
def test_what_workers_would_share_and_is_not_there_is_named(
    missing: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name in SHARED.keys() - set(missing):
        monkeypatch.setenv(name, SHARED[name])
    line = refused(capsys, "--workers", "2")
    assert line.startswith("libriassist: LIBRI_SERVER__WORKERS=2 needs what workers share: set ")
    assert {name for name in SHARED if name in line} == set(missing)
    assert not (tmp_path / "data").exists()


def test_a_file_of_sqlite_is_no_database_of_several_workers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in SHARED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LIBRI_DATA__DATABASE_URL", "sqlite:////tmp/hunter2.db")
    monkeypatch.setenv("LIBRI_SERVER__WORKERS", "3")
    line = refused(capsys)
    assert "set LIBRI_DATA__DATABASE_URL (postgresql://HOST/NAME)" in line
    assert "hunter2" not in line


@pytest.mark.parametrize("count", ["-1", "257"])
def test_how_many_there_may_be_is_said(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is from 0 to 256" in refused(capsys, "--workers", count)
