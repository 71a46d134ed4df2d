"""The application as an operator runs it: a process of its own with a data folder of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.child import Child, answers, placed, running

_START_S = 300.0
"""The first start exports the embedder."""
_SETTINGS = (
    "LIBRI_", "OLLAMA_", "OPENAI_API_KEY", "API_KEY", "LLM_BACKEND",
    "REDIS_URL", "DATABASE_URL", "CHROMA_URL",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replica:
    """A running server."""

    url: str
    child: Child

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def log(self) -> Path:
        return self.child.log

    @property
    def workers(self) -> list[int]:
        """Processes of its workers, those that start or end as well."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


def environment_of(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without what is set for another server, and with `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    models = os.environ.get("LIBRI_DATA__MODELS_DIR")
    return kept | ({"LIBRI_DATA__MODELS_DIR": models} if models else {}) | dict(settings)


@contextmanager
def replica(
    settings: Mapping[str, str], *, name: str = "replica", folder: Path | None = None, ready: bool = True
) -> Iterator[Replica]:
    """`python -m backend serve` with these settings.

    Args:
        settings: Environment variables; by default any free port, and a data folder in `folder`.
        ready: Wait until it says that it can answer, not only until it listens.

    Raises:
        StartError
    """
    with placed(folder, name) as place:
        data = Path(settings.get("LIBRI_DATA__DIR", place / f"{name}-data"))
        given = {"LIBRI_DATA__DIR": str(data), "LIBRI_SERVER__PORT": "0", **settings}
        address = data / "server.json"
        address.unlink(missing_ok=True)
        command = [sys.executable, "-m", "backend", "serve"]
        with running(name, command, folder=place, environment=environment_of(given)) as child:
            url = str(json.loads(child.until(lambda: _written(address), _START_S))["url"])
            if ready:
                child.until(lambda: answers(f"{url}/health/ready"), _START_S)
            yield Replica(url, child)


@contextmanager
def gunicorn_replica(
    settings: Mapping[str, str], *, workers: int = 2, name: str = "replica", folder: Path | None = None
) -> Iterator[Replica]:
    """`python -m backend serve --workers N` with these settings; all workers serve.

    Args:
        settings: As for `replica`; with `REDIS_URL`, `DATABASE_URL` of PostgreSQL and `CHROMA_URL`.

    Raises:
        StartError
    """
    given = {**settings, "LIBRI_SERVER__WORKERS": str(workers)}
    with replica(given, name=name, folder=folder) as running_one:
        running_one.child.until(lambda: _all_serve(running_one.child, workers), _START_S)
        yield running_one


def _all_serve(child: Child, workers: int) -> bool | None:
    return child.said().count('"event": "worker_up"') >= workers or None


def _written(file: Path) -> str | None:
    return file.read_text("utf-8") or None
