"""What a client process is told to do, as a JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from loadtests.pool.arrivals import Arrival
from loadtests.pool.fleet import Running


@dataclass(frozen=True, slots=True)
class Address:
    """One instance as the configuration of a pool names it."""

    id: str
    url: str
    slots: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """The work of one client process.

    Attributes:
        contender: `module:factory`, see `contenders`.
        deadline_s: From each arrival.
        first_token_s, gap_s: The engine's bounds.
        max_tokens: The same for all, so that no pool learns an answer's length from it.
        records: Where to write what happened.
    """

    contender: str
    process: int
    instances: tuple[Address, ...]
    arrivals: tuple[Arrival, ...]
    records: str
    front_url: str = ""
    redis_url: str = ""
    queue_limit: int = 512
    quarantine_s: float = 30.0
    max_wait_s: float = 600.0
    deadline_s: float = 120.0
    first_token_s: float = 120.0
    gap_s: float = 30.0
    max_tokens: int = 2048


def addresses(running: Sequence[Running]) -> tuple[Address, ...]:
    return tuple(Address(r.machine.id, r.url, r.machine.slots, r.machine.models) for r in running)


def write_job(job: Job, path: Path) -> None:
    path.write_bytes(orjson.dumps(asdict(job)))


def read_job(path: Path) -> Job:
    """What `write_job` wrote."""
    data = orjson.loads(path.read_bytes())
    data["instances"] = tuple(Address(**{**a, "models": tuple(a["models"])}) for a in data["instances"])
    data["arrivals"] = tuple(Arrival(**a) for a in data["arrivals"])
    return Job(**data)
