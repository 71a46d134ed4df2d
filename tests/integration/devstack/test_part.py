"""A part of a stack: it comes back, it stays away, and files say which."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.child import Child, StartError, running
from devstack.part import Part


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Part]:
    @contextmanager
    def opened() -> Iterator[Child]:
        script = "trap 'echo asked; exit' TERM; echo here; sleep 600 & wait"
        with running("shell", ["sh", "-c", script], folder=tmp_path) as child:
            child.until(child.first_line, 60)
            yield child

    one = Part("shell", opened, tmp_path, "nowhere")
    one.keep()
    one.wait_ready()
    yield one
    one.close()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_killed_comes_back_as_another_process(part: Part) -> None:
    first = int(part.pid_file.read_text())
    assert first == part.pid
    os.kill(first, signal.SIGKILL)
    part.wait_ready(after=1)
    assert part.pid != first
    assert int(part.pid_file.read_text()) == part.pid
    assert "here" in (part.folder / "shell.1.log").read_text()


def test_a_file_keeps_it_away_until_it_is_removed(part: Part) -> None:
    first = part.pid
    part.down_file.touch()
    eventually(lambda: not part.pid_file.exists())
    assert "asked" in (part.folder / "shell.log").read_text()
    time.sleep(0.3)
    assert not part.is_up
    part.down_file.unlink()
    part.wait_ready()
    assert part.pid != first


def test_its_whole_family_is_killed_with_it(part: Part) -> None:
    (below,) = part.workers()
    part.kill(stays_down=True)
    eventually(
        lambda: not Path(f"/proc/{below}").exists() or " Z " in Path(f"/proc/{below}/stat").read_text()
    )
    eventually(lambda: part.child is None)
    part.start()
    assert part.starts == 2


def test_a_first_start_that_fails_is_told(tmp_path: Path) -> None:
    @contextmanager
    def opened() -> Iterator[Child]:
        with running("broken", ["sh", "-c", "echo no room; exit 3"], folder=tmp_path) as child:
            child.until(lambda: None, 60)
            yield child

    part = Part("broken", opened, tmp_path, "nowhere")
    part.keep()
    with pytest.raises(StartError, match=r"broken ended with status 3.*\nno room"):
        part.wait_ready()
    part.close()
