"""The embedding service as an operator runs it: `libriassist serve-embeddings` in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.child import Child, placed, running
from devstack.replica import environment_of

_START_S = 300.0
"""The first start exports the model."""


@dataclass(frozen=True, slots=True)
class EmbeddingService:
    """A running service: set `LIBRI_EMBEDDING__URL` of a replica to its `url`."""

    url: str
    child: Child

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        return self.child.pid


@contextmanager
def embedding_service(
    settings: Mapping[str, str] | None = None,
    *,
    name: str = "embedder",
    port: int = 0,
    folder: Path | None = None,
) -> Iterator[EmbeddingService]:
    """`python -m backend serve-embeddings`, its model loaded.

    Args:
        settings: Environment variables, such as `EMBEDDING_MODEL`, `LIBRI_EMBEDDING__KEY` (the replicas need
            the same) or `LIBRI_DATA__MODELS_DIR`.
        port: Where it listens; 0: any free one.

    Raises:
        StartError
    """
    with placed(folder, name) as place:
        given = {"LIBRI_DATA__DIR": str(place / f"{name}-data"), "LIBRI_EMBEDDING__PORT": str(port)}
        environment = environment_of(given | dict(settings or {}))
        command = [sys.executable, "-m", "backend", "serve-embeddings"]
        with running(name, command, folder=place, environment=environment) as child:
            yield EmbeddingService(child.until(lambda: _told(child), _START_S), child)


def _told(child: Child) -> str | None:
    """Where it says that it serves."""
    lines = child.said().splitlines(keepends=True)
    said = (one.rpartition(" ")[2].strip() for one in lines if "served at http://" in one and one[-1] == "\n")
    return next(said, None)
