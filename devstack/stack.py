"""The scaled shape on one machine: every server of it a plain process, kept running, at a place of its own.

    NGINX ─▶ API replicas ─▶ Redis, PostgreSQL, Chroma, embedder ; model servers, emulated or real

Stores and model servers start together, then the replicas, then NGINX; they stop the other way.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

import httpx

from devstack.child import Child, StartError, free_ports, placed
from devstack.chroma import chroma_server
from devstack.embedder import embedding_service
from devstack.emulator import emulator_on
from devstack.nginx import front
from devstack.part import Part, close_all, keep_all
from devstack.postgres import postgres_data, postgres_on
from devstack.postgres import url as postgres_url
from devstack.redis import redis_that_keeps
from devstack.replica import gunicorn_replica

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "backend" / "sample"
MODELS = ROOT / "data" / "models"
"""The exported embedder: making it takes longer than all starts together, so it outlives a stack."""
_ENVIRONMENT = ROOT / "deploy" / "local" / "replica.env"
_MODELS = {"LIBRI_DATA__MODELS_DIR": str(MODELS)}
_READS_S = 300.0
_Opened = Callable[[], AbstractContextManager[Child]]


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of what.

    Attributes:
        workers: Processes of each replica.
        instances: Emulated model servers, where no real ones are named.
        slots: Of each instance.
        knobs: Of each emulated instance; see ollama_emulator/README.md.
        ollama_urls: Real ones, with commas between them.
        model: Asked for by default.
        key: What a reader signs in with: behind a proxy nobody is served without.
        port: Of NGINX; 0: any free one.
        sample: Hand in the sample documents.
        more: Further variables of the replicas.
    """

    replicas: int = 3
    workers: int = 2
    instances: int = 3
    slots: int = 4
    knobs: Mapping[str, Any] = field(
        default_factory=lambda: {"preset": "7b-4090", "reply": {"mode": "recite"}}
    )
    ollama_urls: str = ""
    model: str = "llama3.1:8b"
    key: str = "devstack"
    port: int = 0
    sample: bool = True
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack.

    Attributes:
        folder: Of logs, process ids and whatever a part keeps.
        parts: Everything, by name, in the order of the start.
        controls: Where an emulated instance is told what to do, by its name.
        database: Address of PostgreSQL, for SQLAlchemy.
    """

    shape: Shape
    front: str
    folder: Path
    parts: Mapping[str, Part]
    controls: Mapping[str, str]
    database: str

    def named(self, kind: str) -> list[Part]:
        """The parts `KIND-1`, `KIND-2`, … in order."""
        return [part for name, part in self.parts.items() if name.rpartition("-")[0] == kind]

    def empty_redis(self) -> None:
        """Restart Redis without its data.

        Raises:
            StartError
        """
        redis = self.parts["redis"]
        redis.stop()
        shutil.rmtree(self.folder / "redis-data")
        redis.start()


@contextmanager
def stack(shape: Shape, folder: Path | None = None) -> Iterator[Stack]:
    """All of it, ready to answer.

    Args:
        folder: Of logs and data; None: a temporary one, gone at the end.

    Raises:
        StartError
    """
    with placed(folder, "stack") as place, ExitStack() as opened:
        for kept_away in place.glob("*.down"):
            kept_away.unlink()
        at = _Places.of(shape)
        data = opened.enter_context(postgres_data())
        layers = _layers(shape, place, data, at)
        for layer in layers:
            opened.callback(close_all, layer)
            keep_all(layer)
        parts = {part.name: part for layer in layers for part in layer}
        up = Stack(shape, _local(at.front), place, parts, at.controls(), postgres_url(at.postgres))
        if shape.sample:
            _hand_in(up, sorted(file for file in SAMPLE.rglob("*") if file.is_file()))
        yield up


@dataclass(frozen=True, slots=True)
class _Places:
    """Ports; those of an instance are what it serves at and where it is told what to do."""

    front: int
    redis: int
    postgres: int
    chroma: int
    embedder: int
    replicas: Sequence[int]
    instances: Sequence[tuple[int, int]]

    @classmethod
    def of(cls, shape: Shape) -> _Places:
        emulated = 0 if shape.ollama_urls else shape.instances
        ports = iter(free_ports(5 + shape.replicas + 2 * emulated))
        return cls(
            front=shape.port or next(ports),
            redis=next(ports),
            postgres=next(ports),
            chroma=next(ports),
            embedder=next(ports),
            replicas=[next(ports) for _ in range(shape.replicas)],
            instances=[(next(ports), next(ports)) for _ in range(emulated)],
        )

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.redis}/0"

    def controls(self) -> dict[str, str]:
        return {f"ollama-{n}": _local(told) for n, (_, told) in enumerate(self.instances, 1)}


def _layers(shape: Shape, place: Path, data: Path, at: _Places) -> list[list[Part]]:
    """The parts, those that start together side by side."""

    def part(name: str, opened: _Opened, port: int, *, address: str = "") -> Part:
        return Part(name, opened, place, address or _local(port))

    knobs = {"num_parallel": shape.slots, **shape.knobs}
    emulated = [
        part(
            name := f"ollama-{n}",
            partial(emulator_on, name, knobs, place, port=port, control_port=told),
            port,
        )
        for n, (port, told) in enumerate(at.instances, 1)
    ]
    more = ["-c", "max_connections=200"]
    stores = [
        part("redis", partial(redis_that_keeps, place, at.redis), at.redis, address=at.redis_url),
        part(
            "postgres",
            partial(postgres_on, data, at.postgres, folder=place, options=more),
            at.postgres,
            address=postgres_url(at.postgres),
        ),
        part("chroma", partial(_child_of, chroma_server, place, port=at.chroma), at.chroma),
        part(
            "embedder",
            partial(_child_of, embedding_service, _MODELS, port=at.embedder, folder=place),
            at.embedder,
        ),
    ]
    settings = _environment(shape, at) | dict(shape.more)
    replicas = [
        part(name := f"api-{n}", partial(_replica, settings, shape.workers, name, place, port), port)
        for n, port in enumerate(at.replicas, 1)
    ]
    urls = [replica.address for replica in replicas]
    nginx = part("nginx", partial(_child_of, front, urls, port=at.front, folder=place / "nginx"), at.front)
    return [[*stores, *emulated], replicas, [nginx]]


def _local(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@contextmanager
def _child_of(
    starter: Callable[..., AbstractContextManager[Any]], *args: Any, **options: Any
) -> Iterator[Child]:
    """The process of what another module starts."""
    with starter(*args, **options) as started:
        yield started.child


def _environment(shape: Shape, at: _Places) -> dict[str, str]:
    """What each replica is told, from the file that an operator would fill in."""
    urls = shape.ollama_urls or ",".join(_local(port) for port, _ in at.instances)
    filled = Template(_ENVIRONMENT.read_text("utf-8")).substitute(
        redis=at.redis_url,
        postgres=postgres_url(at.postgres),
        chroma=_local(at.chroma),
        embedder=_local(at.embedder),
        ollama=urls,
        slots=shape.slots,
        model=shape.model,
        key=shape.key,
    )
    lines = (line.partition("=") for line in filled.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in lines} | _MODELS


@contextmanager
def _replica(settings: Mapping[str, str], workers: int, name: str, place: Path, port: int) -> Iterator[Child]:
    given = {**settings, "LIBRI_SERVER__PORT": str(port)}
    with gunicorn_replica(given, workers=workers, name=name, folder=place) as running:
        yield running.child


def _hand_in(up: Stack, files: Sequence[Path]) -> None:
    """Documents, through NGINX; waits until they are read.

    Raises:
        StartError
    """
    headers = {"Authorization": f"Bearer {up.shape.key}"}
    deadline = time.monotonic() + _READS_S
    with httpx.Client(base_url=f"{up.front}/api/v1", headers=headers, timeout=60, trust_env=False) as client:
        sent = client.post("/documents", files=[("file", (one.name, one.read_bytes())) for one in files])
        while sent.status_code < 300 and time.monotonic() < deadline:
            if (job := sent.json())["state"] == "done":
                return
            time.sleep(0.2)
            sent = client.get(f"/ingestions/{job['id']}")
    raise StartError(f"the sample documents were not read: {sent.status_code} {sent.text[:300]}")
