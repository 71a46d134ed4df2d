"""Commands need little before they do their work, and nothing of the environment that they do not ask for."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import pytest

from backend.infra.folder_lock import hold
from tests.e2e.test_environments import CERTIFICATES, OLLAMAS, PROXIES, together
from tests.support.console import environment_in, run
from tests.support.emulator import emulator
from tests.support.slow_server import slow_server

HEAVY = {
    "torch", "transformers", "chromadb", "sentence_transformers", "onnx", "onnxruntime", "huggingface_hub",
    "fastapi", "eld", "tantivy", "prometheus_client", "tokenizers", "numpy", "uvicorn",
}  # fmt: skip
SPEAKING = {"sqlalchemy", "alembic", "aiohttp", "httpx", "ollama", "redis"}
"""What a command that only speaks to servers does without."""
OTHERS = {
    "--version": HEAVY | SPEAKING | {"pydantic", "asyncio", "rich"},
    "--help": HEAVY | SPEAKING | {"pydantic", "asyncio", "rich"},
    "config": HEAVY | SPEAKING | {"asyncio"},
    "config --markdown": HEAVY | SPEAKING | {"asyncio"},
    "keys list": HEAVY | SPEAKING,
    "keys create x": HEAVY | SPEAKING,
    "models list": HEAVY | SPEAKING,
    "models show x": HEAVY | SPEAKING,
    "models pull x": HEAVY | SPEAKING,
    "pool status": HEAVY | SPEAKING,
}
"""What each has not imported when it ends."""
NOT_TO_SERVE = {"ollama", "huggingface_hub", "kubernetes", "torch", "transformers", "onnx", "alembic"}
ODD = [together(*kinds) for kinds in zip_longest(PROXIES, CERTIFICATES, OLLAMAS, fillvalue={})]
"""Together: what one of them broke would be seen all the same."""


@pytest.fixture
def environment(tmp_path: Path, models_dir: Path) -> dict[str, str]:
    return environment_in(tmp_path / "data", models_dir)


def after(environment: dict[str, str], command: str) -> set[str]:
    """The packages that a command has imported when it ends."""
    script = (
        "import sys\nfrom backend.__main__ import main\n"
        f"try: main({command.split()!r})\nexcept SystemExit: pass\n"
        "sys.stderr.write('|'.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return set(done.stderr.splitlines()[-1].split("|"))


@pytest.mark.parametrize("command", OTHERS)
def test_a_command_imports_what_it_needs(command: str, environment: dict[str, str]) -> None:
    run(environment, "keys", "list")  # the tables are made by what a later start does not need
    assert not after(environment, command) & OTHERS[command]


@pytest.mark.parametrize("command", ["doctor", "ask anything", "ingest --sample", "reindex", "serve"])
def test_a_data_folder_in_use_is_known_before_anything_heavy(
    command: str, environment: dict[str, str]
) -> None:
    with hold(Path(environment["LIBRI_DATA__DIR"])):
        imported = after(environment, command)
    assert not imported & (HEAVY | SPEAKING)


def test_a_port_that_is_taken_is_known_before_anything_heavy(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert not after(environment | {"LIBRI_SERVER__PORT": port}, "serve") & (HEAVY | SPEAKING)


@pytest.mark.parametrize("odd", [*ODD, {"OLLAMA_NUM_PARALLEL": "x", "OLLAMA_KEEP_ALIVE": "forever"}], ids=str)
def test_what_a_command_does_not_need_does_not_stop_it(
    odd: Mapping[str, str], environment: dict[str, str]
) -> None:
    for command in ("--version", "--help", "config --markdown", "keys list"):
        done = run(environment | odd, *command.split())
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    status = run(environment | odd, "pool", "status")
    assert "no server runs with this data folder" in status.stderr or "OLLAMA_" in status.stderr


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_model_servers_are_reached_directly(
    odd: Mapping[str, str], environment: dict[str, str]
) -> None:
    with slow_server() as openai:
        async with emulator(time_scale=0) as ollama:
            servers = {"OLLAMA_URLS": ollama.url, "LIBRI_ENGINE__OPENAI_URLS": openai, "LLM_BACKEND": "auto"}
            done = await asyncio.to_thread(run, environment | odd | servers, "models", "list")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "slow" in done.stdout
    assert "llama3.1:8b" in done.stdout


def test_a_server_imports_nothing_that_only_others_need(environment: dict[str, str]) -> None:
    script = (
        "import sys, backend.cli.serve, backend.retrieval.chroma\n"
        "print('|'.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.strip().split("|")) & NOT_TO_SERVE
