"""How `libriassist` ends: by signals, and when nobody reads what it prints."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.console import environment_in, run
from tests.support.forks import Forks
from tests.support.live_app import HOURS
from tests.support.slow_server import slow_server


@pytest.fixture
def environment(tmp_path: Path, models_dir: Path) -> dict[str, str]:
    return environment_in(tmp_path / "data", models_dir, LIBRI_SERVER__SHUTDOWN_GRACE_S="30")


def _in_a_terminal() -> None:
    """The tests may themselves run under `nohup`, which is inherited."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def started(environment: dict[str, str], *prefix: str) -> Iterator[subprocess.Popen[str]]:
    """A server that is ready; what it prints and says is read at its end."""
    address = Path(environment["LIBRI_DATA__DIR"]) / "server.json"
    command = [*prefix, sys.executable, "-m", "backend", "serve"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=pipe, text=True, preexec_fn=_in_a_terminal
    ) as process:
        try:
            deadline = time.monotonic() + 300
            while not address.exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def test_a_closed_terminal_is_an_orderly_stop(environment: dict[str, str]) -> None:
    with started(environment) as process:
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in out + err
    assert "Finished server process" in err
    assert not (Path(environment["LIBRI_DATA__DIR"]) / "server.json").exists()


def test_nohup_is_heeded(environment: dict[str, str]) -> None:
    with started(environment, "nohup") as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None


def test_a_second_ctrl_c_ends_it_at_once_while_an_answer_runs(
    environment: dict[str, str], forks: Forks
) -> None:
    with slow_server() as model_server:
        serving = environment | {
            "LLM_BACKEND": "openai",
            "LIBRI_ENGINE__OPENAI_URLS": model_server,
        }
        paper = Path(environment["LIBRI_DATA__DIR"]).parent / HOURS[0]
        paper.write_bytes(HOURS[1])
        forks.run(serving, "ingest", str(paper), timeout_s=300)
        with started(serving) as process:
            url = (Path(environment["LIBRI_DATA__DIR"]) / "server.json").read_text().split('"')[3]
            body = {"question": "When does the library open in the morning?"}
            with httpx.stream("POST", f"{url}/api/v1/chat/stream", json=body, timeout=60) as answer:
                chunks = answer.iter_bytes()
                next(chunks)
                process.send_signal(signal.SIGINT)
                time.sleep(1)
                assert process.poll() is None, "the answer gets its time"
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert not (Path(environment["LIBRI_DATA__DIR"]) / "server.json").exists()


@pytest.mark.parametrize("used_s", [0.3, 0.8, 2.0])
@pytest.mark.parametrize(
    "arguments", [["serve"], ["ingest", "--sample"], ["ask", "anything"], ["keys", "list"]]
)
def test_ctrl_c_twice_ends_any_command_without_a_traceback(
    arguments: list[str], used_s: float, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "backend", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        while process.poll() is None and sum(psutil.Process(process.pid).cpu_times()[:2]) < used_s:
            time.sleep(0.01)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in out + err, err
    assert "Exception ignored" not in err


@pytest.mark.parametrize("arguments", [["config"], ["--help"], ["keys", "list"], ["models", "list"]])
@pytest.mark.parametrize("end", ["| head -c 1", ">&-", "2>&-", ">&- 2>&-", "> /dev/full", "< /dev/null"])
def test_nobody_needs_to_read_what_it_prints(
    arguments: list[str], end: str, environment: dict[str, str]
) -> None:
    script = f"{sys.executable} -m backend {' '.join(arguments)} {end}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize(
    "terminal",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "xx_YY.UTF-8", "TERM": "nonsense"},
    ],
    ids=str,
)
def test_a_terminal_that_lacks_characters_gets_others(
    terminal: dict[str, str], environment: dict[str, str]
) -> None:
    for arguments in (["keys", "create", "Léa 東京 \N{DROPLET}"], ["keys", "list"], ["config"]):
        command = [sys.executable, "-m", "backend", *arguments]
        done = subprocess.run(command, env=environment | terminal, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    kept = run(environment, "keys", "list").stdout
    assert "Léa 東京" in kept, "the argument was understood whatever the locale"
