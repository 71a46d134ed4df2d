"""`libriassist serve` in the environments that operators have: it starts, or says why not in one line.

`python -m tests.e2e.test_environments` prints the table.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.support.console import environment_in
from tests.support.forks import Forks

ROOT = Path(__file__).parents[2]
STARTS = ""
DEAD = "http://127.0.0.1:9"
PROXIES: tuple[Mapping[str, str], ...] = (
    {"HTTP_PROXY": DEAD, "HTTPS_PROXY": DEAD, "NO_PROXY": ""},
    {"http_proxy": "not a proxy", "https_proxy": "http://[::1", "no_proxy": "*,,[::"},
    {"ALL_PROXY": "socks5://127.0.0.1:1080"},
    {"all_proxy": "socks4://127.0.0.1:1080", "HTTPS_PROXY": "ftp://x"},
    {"ALL_PROXY": "127.0.0.1", "NO_PROXY": "localhost,127.0.0.1,::1"},
)
CERTIFICATES: tuple[Mapping[str, str], ...] = (
    {"SSL_CERT_FILE": "/nowhere/ca.pem"},
    {
        "SSL_CERT_DIR": "/nowhere",
        "REQUESTS_CA_BUNDLE": "/nowhere/ca.pem",
        "CURL_CA_BUNDLE": "/nowhere/ca.pem",
    },
    {"SSL_CERT_FILE": "/etc/passwd"},
    {"SSLKEYLOGFILE": "/nowhere/keys.log"},
)
OLLAMAS: tuple[Mapping[str, str], ...] = (
    {"OLLAMA_HOST": "0.0.0.0"},
    {"OLLAMA_HOST": "http://[::1"},
    {"OLLAMA_HOST": ":99999", "OLLAMA_API_KEY": "k\r"},
    {"OLLAMA_KEEP_ALIVE": "-1"},
    {"OLLAMA_KEEP_ALIVE": "1h30m", "OLLAMA_NUM_PARALLEL": "0", "OLLAMA_MAX_LOADED_MODELS": "0"},
    {"OLLAMA_NUM_PARALLEL": '"4"', "OLLAMA_URLS": f'"{DEAD}/api, {DEAD[:-1]}8/v1/ "\r'},
)


@dataclass(frozen=True, slots=True)
class Case:
    """Variables, and what is said of them (a pattern); `STARTS`: it serves."""

    variables: Mapping[str, str]
    said: str = STARTS
    secrets: tuple[str, ...] = field(default=("hunter2",))

    @property
    def name(self) -> str:
        return " ".join(f"{name}={value!r}" for name, value in self.variables.items())


def together(*several: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for one in several for name, value in one.items()}


STARTING = [
    Case({}),
    # Together: what one of them broke would be seen all the same.
    *(Case(together(*kinds)) for kinds in zip_longest(PROXIES, CERTIFICATES, OLLAMAS, fillvalue={})),
    Case(
        {
            "API_KEY": "hunter2-hunter2\r\n",
            "LIBRI_ENGINE__OLLAMA_KEEP_ALIVE": "0",
            "HF_ENDPOINT": "nonsense",
            "LANG": "C",
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "OPENAI_API_KEY": "hunter2",
            "LIBRI_ENGINE__OPENAI_URLS": f"http://u:hunter2@{DEAD[7:]}/v1",
        }
    ),
    Case(
        {
            "OPENAI_API_KEY": "sk-é",
            "LIBRI_ENGINE__OPENAI_URLS": f"{DEAD}/v1/",
            "LIBRI_SERVER__HOST": "",
            "LIBRI_ENGINE__MODEL": "",
        }
    ),
    Case({"EMBEDDING_MODEL": "multilingual-e5-base", "HTTPS_PROXY": "http://[::1", "HF_HOME": "/nowhere"}),
    Case(
        {
            "CHROMA_API_IMPL": "chromadb.api.fastapi.FastAPI",
            "CHROMA_SERVER_HOST": "nowhere",
            "IS_PERSISTENT": "x",
            "REDIS_URL": "redis://:hunter2@127.0.0.1:9/0",
            "PYTHONIOENCODING": "latin-1",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "COLUMNS": "x",
        }
    ),
]
REFUSED = [
    Case(
        {"OLLAMA_URLS": "localhost:11434"},
        r"OLLAMA_URLS: localhost:11434 has no scheme: write http://localhost",
    ),
    Case({"OLLAMA_URLS": "http://gpu1:11434,gpu2"}, r"OLLAMA_URLS.*: gpu2 has no scheme: write http://gpu2"),
    Case({"OLLAMA_URLS": "http://u:hunter2@gpu1:port"}, r"OLLAMA_URLS.*no valid host and port"),
    Case({"OLLAMA_URLS": "ftp://gpu1"}, r"OLLAMA_URLS.*http"),
    Case({"OLLAMA_URLS": "[oops"}, r"OLLAMA_URLS=\[oops: "),
    Case({"LIBRI_ENGINE__OPENAI_URLS": "u:hunter2@host:8080"}, r"LIBRI_ENGINE__OPENAI_URLS.*write http://"),
    Case(
        {"REDIS_URL": "localhost:6379"},
        r"REDIS_URL: localhost:6379 has no scheme: write redis://localhost:6379",
    ),
    Case({"REDIS_URL": "http://:hunter2@x:1"}, r"REDIS_URL.*redis"),
    Case({"REDIS_URL": "redis://:hunter2@x:1?nonsense=1"}, r"REDIS_URL.*write redis://"),
    Case({"DATABASE_URL": "mysql://u:hunter2@db/x"}, r"DATABASE_URL.*write postgresql://"),
    Case(
        {"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:9/x?sslmode=require"},
        r"DATABASE_URL=postgresql://\*{10}@127.0.0.1:9/x.*: the database",
    ),
    Case({"DATABASE_URL": "postgresql://u:hunter2@db/x?sslmode=often"}, r"DATABASE_URL.*verify-full"),
    Case(
        {"DATABASE_URL": "sqlite:////nowhere/at/all.db"},
        r"DATABASE_URL=sqlite:////nowhere/at/all.db: the database.*unable to open",
    ),
    Case({"LIBRI_SERVER__PORT": "abc"}, r"LIBRI_SERVER__PORT=abc: input should be a valid integer"),
    Case({"LIBRI_SERVER__PORT": "70000"}, r"LIBRI_SERVER__PORT=70000: .*65535"),
    Case(
        {"LIBRI_SERVER__HOST": "203.0.113.7"}, r"LIBRI_SERVER__HOST=203.0.113.7 is no address of this machine"
    ),
    Case({"LIBRI_SERVER__HOST": "not a host"}, r"LIBRI_SERVER__HOST=not a host is no address"),
    Case({"LIBRI_SERVER_PORT": "8000"}, r"LIBRI_SERVER_PORT: there is no such setting; .*LIBRI_SERVER__PORT"),
    Case({"LIBRI_ENGIN__MODEL": "x"}, r"LIBRI_ENGIN__MODEL: there is no such .*LIBRI_ENGINE__MODEL"),
    Case({"LIBRI_ENGINE__OLLAMA_URL": "x"}, r"LIBRI_ENGINE__OLLAMA_URL: there .*LIBRI_ENGINE__OLLAMA_URLS"),
    Case({"OLLAMA_KEEP_ALIVE": "forever"}, r"OLLAMA_KEEP_ALIVE=forever: is no duration: write 30m"),
    Case({"LIBRI_ENGINE__OLLAMA_KEEP_ALIVE": "1d"}, r"LIBRI_ENGINE__OLLAMA_KEEP_ALIVE=1d: is no duration"),
    Case({"OLLAMA_NUM_PARALLEL": "many"}, r"OLLAMA_NUM_PARALLEL=many: .*integer"),
    Case({"LLM_BACKEND": "gpt"}, r"LLM_BACKEND=gpt: .*'ollama'"),
    Case({"API_KEY": "hunter2\nhunter2"}, r"API_KEY: holds a line end"),
    Case({"EMBEDDING_MODEL": "nonsense"}, r"EMBEDDING_MODEL: the embedding model is neither"),
    Case(
        {"LIBRI_DATA__DIR": "/dev/null/data"},
        r"data folder /dev/null/data cannot be written.*LIBRI_DATA__DIR",
    ),
    Case({"LIBRI_CHAT__DEADLINE_S": "inf"}, r"LIBRI_CHAT__DEADLINE_S=inf: .*finite"),
]


Outcome = tuple[int | None, str, str]
"""Exit status (None: it serves), and what it printed and said."""


def environment_of(case: Case, place: Path, models: Path) -> dict[str, str]:
    given = {"LLM_BACKEND": "ollama", "OLLAMA_URLS": DEAD} | dict(case.variables)
    return environment_in(place / "data", models, **given)


def started(case: Case, models: Path) -> Outcome:
    """A process of its own, until it has told its address."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        place = Path(name)
        out, err = (stack.enter_context(open(place / one, "w+")) for one in ("out", "err"))
        command = [sys.executable, "-m", "backend", "serve"]
        environment = environment_of(case, place, models)
        with subprocess.Popen(command, env=environment, stdout=out, stderr=err) as process:
            address = place / "data" / "server.json"
            deadline = time.monotonic() + 300
            while process.poll() is None and not address.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            status = process.poll()
            process.kill()
        return status, text_in(place / "out"), text_in(place / "err")


def refused(case: Case, models: Path, forks: Forks) -> Outcome:
    """The same in a process that imported everything before."""
    with tempfile.TemporaryDirectory() as name:
        done = forks.run(environment_of(case, Path(name), models), "serve")
    return done.returncode, done.stdout, done.stderr


def text_in(file: Path) -> str:
    return file.read_text(errors="replace")


def lines_of(err: str) -> list[str]:
    """What the operator reads, without the log."""
    return [line for line in err.splitlines() if not line.startswith("{")]


@pytest.mark.parametrize("case", STARTING, ids=lambda case: case.name or "nothing")
def test_a_usual_environment_does_not_keep_it_from_starting(case: Case, models_dir: Path) -> None:
    status, out, err = started(case, models_dir)
    assert status is None, (status, err)
    assert "Traceback" not in out + err
    assert not any(secret in out + err for secret in case.secrets)
    assert len(lines_of(err)) <= 1


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_setting_that_cannot_work_is_named_in_one_line(case: Case, models_dir: Path, forks: Forks) -> None:
    status, out, err = refused(case, models_dir, forks)
    assert status == 1, (status, err)
    assert "Traceback" not in out + err
    assert not any(secret in out + err for secret in case.secrets)
    (line,) = lines_of(err)
    assert re.search(case.said, line), line
    assert len(line) < 1024


def test_a_port_that_is_taken_is_named(models_dir: Path, forks: Forks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        case = Case({"LIBRI_SERVER__PORT": port})
        status, _, err = refused(case, models_dir, forks)
    assert status == 1
    assert lines_of(err) == [
        f"libriassist: port {port} is not free (Address already in use): set LIBRI_SERVER__PORT to another"
    ]


def _table() -> None:
    models = Path(os.environ["LIBRI_DATA__MODELS_DIR"])
    for case in (*STARTING, *REFUSED):
        status, _, err = started(case, models)
        said = "; ".join(lines_of(err)) or "starts"
        sys.stdout.write(f"| `{case.name}` | {'starts' if status is None else status} | {said} |\n")


if __name__ == "__main__":
    _table()
