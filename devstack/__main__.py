"""The scaled shape on one machine: `make stack`, or `python -m devstack`; Ctrl-C stops it all.

From another terminal: `python -m devstack stop` stops it, `status` says what runs, `down NAME` keeps a part
away, `up NAME` brings it back. Whatever is killed comes back by itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from devstack import warden
from devstack.child import StartError
from devstack.stack import ROOT, Shape, Stack, stack

PLACE = ROOT / ".stack"
"""Where `make stack` keeps its files while it runs."""
_PID = "stack.pid"
_STOPS_S = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it until interrupted, or tell the one that runs."""
    args = _arguments(argv)
    try:
        match args.act:
            case "run":
                return _run(args)
            case "stop":
                return _stop(args.folder)
            case "status":
                return _status(args.folder)
            case _:
                return _tell(args)
    except StartError as exc:
        print(f"devstack: {exc}", file=sys.stderr)
        return 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    parser.add_argument("act", nargs="?", default="run", choices=("run", "stop", "status", "down", "up"))
    parser.add_argument("name", nargs="?", default="", help="a part, for `down` and `up`")
    parser.add_argument("--replicas", type=int, default=3, help="of the API")
    parser.add_argument("--workers", type=int, default=2, help="processes of each replica")
    parser.add_argument("--instances", type=int, default=3, help="emulated Ollama instances")
    parser.add_argument("--port", type=int, default=8080, help="of NGINX; 0: any free one")
    parser.add_argument("--key", default="devstack", help="what a reader signs in with")
    parser.add_argument(
        "--folder", type=Path, default=PLACE, help="of logs and process ids; removed at the end"
    )
    return parser.parse_args(argv)


def _run(args: argparse.Namespace) -> int:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    shape = Shape(
        replicas=args.replicas,
        workers=args.workers,
        instances=args.instances,
        port=args.port,
        key=args.key,
        ollama_urls=os.environ.get("OLLAMA_URLS", ""),
        model=os.environ.get("OLLAMA_MODEL", Shape().model),
        slots=int(os.environ.get("OLLAMA_NUM_PARALLEL", Shape().slots)),
    )
    with _alone(args.folder), stack(shape, args.folder) as up:
        print(_described(up), flush=True)
        ended.wait()
        print("stopping", flush=True)
    return 0


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One stack in a folder, which goes with it, whatever ends us.

    Raises:
        StartError: Another one runs.
    """
    if (pid := _pid(folder)) is not None:
        raise StartError(f"a stack runs already (process {pid}); `make stack-stop` stops it")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    warden.discard(folder)
    (folder / _PID).write_text(f"{os.getpid()}\n", "utf-8")
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _described(up: Stack) -> str:
    """Everything that somebody needs who opens it, measures it or breaks it."""
    width = max(map(len, up.parts)) + 2
    first = next(name for name in up.parts if name.startswith("api-"))
    shown = up.folder.relative_to(Path.cwd()) if up.folder.is_relative_to(Path.cwd()) else up.folder
    lines = [
        f"{'open':{width}}{up.front}",
        f"{'key':{width}}{up.shape.key}",
        *(f"{name:{width}}{part.address}  (process {part.pid})" for name, part in up.parts.items()),
        *(f"{name:{width}}{url}/__emu/state  (what it was asked)" for name, url in up.controls.items()),
        f"{'metrics':{width}}ADDRESS OF A REPLICA/metrics, with the key as bearer token",
        f"{'logs':{width}}{shown}/NAME.log, NGINX's in {shown}/nginx; of earlier lives NAME.1.log …",
        "",
        f"kill -9 $(cat {shown}/{first}.pid)    it comes back by itself, as all parts do",
        f"touch {shown}/{first}.down            it stops and stays away until the file is removed",
        "make stack-stop, or Ctrl-C        stops everything and leaves nothing behind",
    ]
    return "\n".join(lines)


def _stop(folder: Path) -> int:
    """Ask the one that runs to end; wait until nothing of it is left."""
    if (pid := _pid(folder)) is None:
        print("no stack runs")
        return 0
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOPS_S
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    if folder.exists():
        raise StartError(f"process {pid} did not end within {_STOPS_S:g} s")
    return 0


def _status(folder: Path) -> int:
    if _pid(folder) is None:
        print("no stack runs")
        return 1
    for file in sorted([*folder.glob("*.pid"), *folder.glob("*.down")]):
        said = "kept away" if file.suffix == ".down" else f"process {file.read_text('utf-8').strip()}"
        print(f"{file.stem:12}{said}")
    return 0


def _tell(args: argparse.Namespace) -> int:
    if _pid(args.folder) is None:
        raise StartError("no stack runs")
    down = args.folder / f"{args.name}.down"
    if not (down.exists() or down.with_suffix(".pid").exists()):
        raise StartError(f"there is no part {args.name!r}; `python -m devstack status` lists them")
    down.touch() if args.act == "down" else down.unlink(missing_ok=True)
    return 0


def _pid(folder: Path) -> int | None:
    """The process whose stack is in this folder, if it lives."""
    with suppress(OSError, ValueError):
        pid = int((folder / _PID).read_text("utf-8"))
        os.kill(pid, 0)
        return pid
    return None


if __name__ == "__main__":
    sys.exit(main())
