"""Several processes count as one, whichever of them lives and whatever became of the others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backend.core.errors import Misconfigured
from backend.telemetry import shared
from backend.telemetry.shared import shared_folder

REPLICA = """
import os, signal, sys
from pathlib import Path
from backend.pool.base import PoolStatus
from backend.telemetry.metrics import Metrics
from backend.telemetry.shared import SharedCounters, shared_folder

def forked(folder, number, counts):
    if child := os.fork():
        return os.waitpid(child, 0)
    metrics = Metrics(SharedCounters(folder, number))
    for _ in range(counts):
        metrics.joined()
        metrics.run_ended("tiny", "stop", 3)
    os.kill(os.getpid(), signal.SIGKILL)

with shared_folder(sys.argv[1]) as folder:
    exec(sys.argv[2])
"""
SHOW = """
def told(number=0):
    metrics = Metrics(SharedCounters(folder, number))
    lines = metrics.render(PoolStatus(()))[0].decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}
"""


@pytest.fixture(autouse=True)
def variable() -> Iterator[None]:
    before = os.environ.pop(shared.VARIABLE, None)
    yield
    os.environ.pop(shared.VARIABLE, None)
    if before is not None:
        os.environ[shared.VARIABLE] = before


def replica(given: Path, script: str) -> str:
    """What the script prints in a process that made a folder of counters."""
    command = [sys.executable, "-c", REPLICA, str(given), SHOW + script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_any_of_them_tells_the_sum(tmp_path: Path) -> None:
    script = """
forked(folder, 0, 2)
forked(folder, 1, 3)
for number in (0, 1, 7):
    print(told(number)["libri_joined_total"])
"""
    assert replica(tmp_path, script).split() == ["5.0"] * 3


def test_thirty_deaths_leave_as_many_files_as_two_and_no_counter_goes_back(tmp_path: Path) -> None:
    script = """
before = 0
for death in range(30):
    forked(folder, death % 2, 4)
    now = told(0)
    assert now["libri_joined_total"] == before + 4 == now['libri_runs_total{result="stop"}'], now
    before += 4
    if death == 1 or death == 29:
        print(sorted((file.name, file.stat().st_size) for file in folder.iterdir()))
"""
    early, late = replica(tmp_path, script).splitlines()
    assert early == late
    assert early.count(".db") == 6
    assert not list(tmp_path.glob("*/*")), "and nothing once it has ended"


def test_what_a_dead_process_was_doing_is_over(tmp_path: Path) -> None:
    script = """
from backend.telemetry.shared import forget_gauges
def streaming(number):
    if os.fork() == 0:
        stream = Metrics(SharedCounters(folder, number)).event_stream()
        stream.__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
streaming(0), streaming(1)
print(told(2)["libri_event_streams"])
forget_gauges(folder, 0)
print(told(2)["libri_event_streams"])
streaming(0)
print(told(2)["libri_event_streams"])
"""
    assert replica(tmp_path, script).split() == ["2.0", "1.0", "2.0"]


def test_the_cumulative_buckets_of_a_histogram_are_whole(tmp_path: Path) -> None:
    script = """
forked(folder, 0, 2)
forked(folder, 1, 3)
forked(folder, 0, 1)
buckets = {name: value for name, value in told(1).items() if "request_duration_seconds_bucket" in name}
print(*[value for end in ("5.0", "2.5") for name, value in buckets.items() if f'le="{end}"' in name])
"""
    assert replica(tmp_path, script).split() == ["6.0", "0.0"]


def test_two_replicas_do_not_share_and_the_place_of_a_dead_one_is_used_again(tmp_path: Path) -> None:
    with ExitStack() as one, shared_folder(str(tmp_path)) as two:
        three = one.enter_context(shared_folder(str(tmp_path)))
        assert [two.name, three.name] == ["0", "1"]
    killed = "forked(folder, 0, 1); os.kill(os.getpid(), signal.SIGKILL)"
    command = [sys.executable, "-c", REPLICA, str(tmp_path), killed]
    for _ in range(3):
        assert subprocess.run(command).returncode == -9
    assert [folder.name for folder in tmp_path.iterdir()] == ["0"]
    assert list((tmp_path / "0").iterdir()), "nobody could remove them"
    with shared_folder(str(tmp_path)) as again:
        assert again.name == "0"
        assert not list(again.iterdir())


def test_a_folder_lives_as_long_as_one_of_its_processes(tmp_path: Path) -> None:
    orphan = """
if os.fork() == 0:
    print("there", flush=True)
    sys.stdin.read()
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", REPLICA, str(tmp_path), orphan]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        process.wait()
        with shared_folder(str(tmp_path)) as other:
            assert other.name == "1"


def test_by_default_it_is_for_us_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shared, "_IN_MEMORY", tmp_path)
    with shared_folder("") as folder:
        assert folder.parent == tmp_path / f"libriassist-{os.geteuid()}"
        assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_a_link_in_its_place_is_not_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"libriassist-{os.geteuid()}").symlink_to(elsewhere)
    monkeypatch.setattr(shared, "_IN_MEMORY", tmp_path)
    with pytest.raises(Misconfigured, match="set PROMETHEUS_MULTIPROC_DIR"), shared_folder(""):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="file/x cannot be used"), shared_folder(f"{tmp_path}/file/x"):
        pass


def test_a_process_alone_counts_for_itself_whatever_the_environment_says(tmp_path: Path) -> None:
    alone = """
from backend.telemetry.metrics import Metrics
from backend.pool.base import PoolStatus
metrics = Metrics()
metrics.joined()
print(metrics.render(PoolStatus(()))[0].decode())
"""
    environment = {**os.environ, shared.VARIABLE: str(tmp_path)}
    command = [sys.executable, "-c", alone]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert "libri_joined_total 1.0" in said
    assert not list(tmp_path.iterdir())
