"""A data folder that cannot be used is said in one line, by every command that needs it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.infra.revisions import HEAD
from tests.support.console import environment_in
from tests.support.forks import Forks


def file_in_its_place(folder: Path) -> None:
    folder.write_text("")


def below_a_file(folder: Path) -> None:
    folder.parent.rmdir()
    folder.parent.write_text("")


def corrupted(folder: Path) -> None:
    folder.mkdir()
    (folder / "libriassist.db").write_text("this is no database, whatever its name says")


def database_is_a_folder(folder: Path) -> None:
    (folder / "libriassist.db").mkdir(parents=True)


def from_a_newer_release(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "libriassist.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()


def damaged_secret(folder: Path) -> None:
    folder.mkdir()
    (folder / "secret").write_text("short")


def secret_is_a_folder(folder: Path) -> None:
    (folder / "secret").mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (file_in_its_place, "cannot be written (File exists): set LIBRI_DATA__DIR"),
        (below_a_file, "cannot be written (Not a directory): set LIBRI_DATA__DIR"),
        (corrupted, "libriassist.db: the database does not answer: file is not a database"),
        (database_is_a_folder, "libriassist.db: the database does not answer: unable to open"),
        (from_a_newer_release, f"written by a newer release (revision '9999', this one knows {HEAD})"),
        (damaged_secret, "secret is damaged; remove it"),
        (secret_is_a_folder, "secret can neither be read nor made: Is a directory"),
    ],
)
def test_what_is_wrong_with_it_is_said(
    spoil: Callable[[Path], None], said: str, tmp_path: Path, models_dir: Path, forks: Forks
) -> None:
    folder = tmp_path / "of" / "data"
    folder.parent.mkdir()
    spoil(folder)
    needs_the_secret = "secret" in said  # which keys do not
    for arguments in [["serve"]] if needs_the_secret else [["keys", "list"], ["serve"]]:
        done = forks.run(environment_in(folder, models_dir), *arguments, timeout_s=300)
        (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        assert done.returncode == 1
        assert said in line
        assert "Traceback" not in done.stdout + done.stderr
