"""The scaled shape on one machine: `python -m devstack`, or `make stack`.

NGINX before an API process, which stands on Redis, PostgreSQL and three emulated Ollama instances. Prints
where everything is; Ctrl-C stops it all.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.child import StartError, placed
from devstack.emulator import emulator_processes
from devstack.nginx import NAME, front
from devstack.postgres import postgres_server
from devstack.redis import redis_server
from devstack.replica import replica

MODEL = "llama3.1:8b"
SLOTS = 4


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack: addresses, by what is there."""

    front: str
    addresses: dict[str, str]
    folder: Path


@contextmanager
def stack(
    *, instances: int = 3, port: int = 0, key: str = "devstack", folder: Path | None = None
) -> Iterator[Stack]:
    """Everything, started from the bottom to the top and stopped the other way.

    Args:
        port: Of NGINX; 0: any free one.
        key: What a reader signs in with: behind a proxy nobody is served without.

    Raises:
        StartError
    """
    with placed(folder, "stack") as place, ExitStack() as opened:
        redis = opened.enter_context(redis_server(place))
        database = opened.enter_context(postgres_server(folder=place))
        knobs = [{"preset": "7b-4090", "num_parallel": SLOTS}] * instances
        emulated = opened.enter_context(emulator_processes(knobs, folder=place))
        settings = {
            "REDIS_URL": redis.url,
            "DATABASE_URL": database,
            "OLLAMA_URLS": ",".join(one.url for one in emulated),
            "OLLAMA_NUM_PARALLEL": str(SLOTS),
            "OLLAMA_MODEL": MODEL,
            "LLM_BACKEND": "ollama",
            "API_KEY": key,
            "LIBRI_SERVER__ALLOWED_HOSTS": f"127.0.0.1,localhost,{NAME}",
        }
        api = opened.enter_context(replica(settings, name="api", folder=place))
        door = opened.enter_context(front([api.url], port=port, folder=place / "nginx"))
        addresses = {"API": api.url, "Redis": redis.url, "PostgreSQL": database} | {
            f"Ollama {number}": one.url for number, one in enumerate(emulated, 1)
        }
        yield Stack(door.url, addresses, place)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    parser.add_argument("--instances", type=int, default=3, help="emulated Ollama instances")
    parser.add_argument("--port", type=int, default=8080, help="of NGINX; 0: any free one")
    parser.add_argument("--key", default="devstack", help="what a reader signs in with")
    parser.add_argument(
        "--folder", type=Path, default=None, help="of logs and documents; default: a temporary one"
    )
    args = parser.parse_args(argv)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with stack(instances=args.instances, port=args.port, key=args.key, folder=args.folder) as up:
            for name, address in {
                "open": up.front,
                "key": args.key,
                "logs": str(up.folder),
                **up.addresses,
            }.items():
                print(f"{name:12}{address}", flush=True)
            ended.wait()
            print("stopping", flush=True)
    except StartError as exc:
        print(f"devstack: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
