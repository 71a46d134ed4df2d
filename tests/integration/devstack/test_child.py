"""Processes that are started here: their log, their deadlines, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devstack.child import StartError, in_thread, running, start

ROOT = Path(__file__).parents[3]
STUBBORN = """
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""
PARENT = """
import sys, threading, time
from pathlib import Path
from devstack.child import start
began = []
folder = Path(sys.argv[1])
thread = threading.Thread(target=lambda: began.append(start("child", ["sleep", "600"], folder=folder)))
thread.start()
thread.join()
time.sleep(0.2)
print(began[0].pid, began[0].process.poll(), flush=True)
time.sleep(600)
"""
TIDY = """
import signal, sys, time
from pathlib import Path
from devstack.child import placed, start
folder = Path(sys.argv[1])
script = "trap 'echo tidied > tidied; exit' QUIT; echo ready; sleep 600 & wait"
with placed(None, "of-a-test") as place:
    (place / "something").touch()
    child = start("tidy", ["sh", "-c", script], folder=folder, last=signal.SIGQUIT, cwd=folder)
    child.until(child.first_line, 60)
    print(child.pid, place, flush=True)
    time.sleep(600)
"""


def lives(pid: int) -> bool:
    """It runs; a dead process that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int, within_s: float = 30.0) -> bool:
    deadline = time.monotonic() + within_s
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not lives(pid)


def test_what_ends_while_it_starts_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no room on the shelf')"]
    told = r"thing ended with status 1.*\nno room on the shelf"
    with running("thing", command, folder=tmp_path) as child, pytest.raises(StartError, match=told):
        child.until(lambda: None, 60)


def test_what_does_not_answer_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    told = r"thing did not answer within 0\.1 s"
    with running("thing", ["sleep", "600"], folder=tmp_path) as child, pytest.raises(StartError, match=told):
        child.until(lambda: None, 0.1)
    assert gone(child.pid)


def test_what_does_not_end_when_asked_is_killed_with_what_it_started(tmp_path: Path) -> None:
    child = start("stubborn", [sys.executable, "-c", STUBBORN], folder=tmp_path)
    below = int(child.until(child.first_line, 60))
    assert lives(below)
    child.stop(within_s=0.2)
    assert child.process.returncode == -signal.SIGKILL
    assert gone(below)


def test_a_halted_process_can_be_stopped(tmp_path: Path) -> None:
    child = start("halted", ["sleep", "600"], folder=tmp_path)
    child.process.send_signal(signal.SIGSTOP)
    child.stop()
    assert child.process.returncode == -signal.SIGTERM


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, status = parent.stdout.readline().split()
        assert status == "None"  # the thread that started it has ended, and it has not
        assert lives(int(pid))
        parent.kill()
    assert gone(int(pid))


def test_what_a_killed_parent_leaves_is_put_in_order(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TIDY, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, place = parent.stdout.readline().split()
        assert Path(place, "something").exists()
        parent.kill()
    assert gone(int(pid))
    assert (tmp_path / "tidied").read_text() == "tidied\n"
    deadline = time.monotonic() + 30
    while Path(place).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(place).exists()


async def test_a_server_may_be_started_beside_a_loop(tmp_path: Path) -> None:
    async with in_thread(running("thing", ["sleep", "600"], folder=tmp_path)) as child:
        assert lives(child.pid)
    assert gone(child.pid)
