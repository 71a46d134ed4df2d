"""The console commands as an operator runs them: real processes, one data folder."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from tests.support.console import environment_in, run
from tests.support.forks import Forks
from tests.support.live_app import GARDEN, HOURS

QUESTION = {"question": "When does the library open in the morning?"}


@pytest.fixture
def environment(tmp_path: Path, models_dir: Path) -> dict[str, str]:
    return environment_in(tmp_path / "data", models_dir)


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    folder.mkdir()
    for name, data in (HOURS, GARDEN, ("broken.pdf", b"%PDF-1.7\nnothing")):
        (folder / name).write_bytes(data)
    return folder


def test_documents_go_in_and_a_question_comes_out_answered(environment: dict[str, str], papers: Path) -> None:
    first = run(environment, "ingest", str(papers))
    assert first.returncode == 1, "one file cannot be read"
    assert "broken.pdf" in first.stderr
    assert "2 read" in first.stderr
    again = run(environment, "ingest", str(papers))
    assert "0 read" in again.stderr
    assert "2 unchanged" in again.stderr
    asked = run(environment, "ask", QUESTION["question"])
    assert asked.returncode == 0
    assert "opens at nine" in asked.stdout
    assert "hours.md" in asked.stdout
    doctor = run(environment, "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "retrieval" in doctor.stdout


def test_commands_beside_a_running_server_speak_to_it(
    environment: dict[str, str], papers: Path, forks: Forks
) -> None:
    with forks.serving(environment) as (_, url):
        done = forks.run(environment, "ingest", str(papers / "hours.md"))
        assert done.returncode == 0, done.stderr
        assert "1 read" in done.stderr
        answer = httpx.post(f"{url}/api/v1/chat", json=QUESTION, timeout=120).json()
        assert "opens at nine" in answer["answer"]
        asked = forks.run(environment, "ask", QUESTION["question"], "--language", "en")
        assert asked.returncode == 0, asked.stderr
        assert "opens at nine" in asked.stdout
        assert "hours.md" in asked.stdout
        doctor = forks.run(environment, "doctor")
        assert "is running" in doctor.stdout
        second = forks.run(environment, "serve")
        assert second.returncode == 1
        assert "another process uses" in second.stderr


def test_keys_are_made_listed_and_revoked(environment: dict[str, str], papers: Path, forks: Forks) -> None:
    made = forks.run(environment, "keys", "create", "the till", "--role", "reader", "--role", "writer")
    secret = made.stdout.strip()
    assert secret.startswith("libri_")
    key_id = made.stderr.split()[1]
    listed = forks.run(environment | {"COLUMNS": "50"}, "keys", "list").stdout
    assert key_id in listed, "whole, to be copied, in the narrowest terminal"
    assert secret not in listed
    with forks.serving(environment) as (_, url):
        headers = {"Authorization": f"Bearer {secret}"}
        assert httpx.get(f"{url}/api/v1/session").status_code == 401
        assert httpx.get(f"{url}/api/v1/session", headers=headers).json()["roles"] == ["reader", "writer"]
        assert (Path(environment["LIBRI_DATA__DIR"]) / "server.json").stat().st_mode & 0o777 == 0o600
        beside = forks.run(environment, "ingest", str(papers / "hours.md"))
        assert "1 read" in beside.stderr, "commands of this machine need no key"
        assert forks.run(environment, "keys", "revoke", key_id).returncode == 0


def test_an_orderly_stop_ends_running_answers_and_leaves_nothing_behind(
    environment: dict[str, str], papers: Path, forks: Forks
) -> None:
    forks.run(environment, "ingest", str(papers / "hours.md"))
    with forks.serving(environment) as (process, url):
        httpx.post(f"{url}/api/v1/chat", json=QUESTION, timeout=120).raise_for_status()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM), "the signal itself may be the exit status"
    assert not (Path(environment["LIBRI_DATA__DIR"]) / "server.json").exists()


def test_a_killed_server_starts_again_with_all_it_had(
    environment: dict[str, str], papers: Path, forks: Forks
) -> None:
    forks.run(environment, "ingest", str(papers / "hours.md"))
    with forks.serving(environment) as (process, url):
        conversation = httpx.post(f"{url}/api/v1/chat", json=QUESTION, timeout=120).json()["conversation_id"]
        process.kill()
        process.wait()
    (Path(environment["LIBRI_DATA__DIR"]) / "server.json").unlink()
    with forks.serving(environment) as (_, url):
        turns = httpx.get(f"{url}/api/v1/conversations/{conversation}").json()["turns"]
        assert turns[0]["state"] == "done"
        assert (
            "opens at nine" in httpx.post(f"{url}/api/v1/chat", json=QUESTION, timeout=120).json()["answer"]
        )
