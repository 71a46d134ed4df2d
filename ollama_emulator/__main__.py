"""Start one emulated Ollama, or many: `python -m ollama_emulator --preset 7b-4090 --instances 3`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from ollama_emulator.control import Control
from ollama_emulator.instance import Instance
from ollama_emulator.knobs import Knobs, from_environment
from ollama_emulator.presets import PRESETS

CONTROL_OFFSET = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Run until interrupted; prints one line of JSON for each instance that is ready."""
    args = _parser().parse_args(argv)
    try:
        knobs = _knobs(args)
    except (ValueError, KeyError) as exc:
        sys.exit(f"emulator: {exc}")
    if args.instances > 1:
        return _fleet(args, sys.argv[1:] if argv is None else list(argv))
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(knobs, args))
    return 0


async def _serve(knobs: Knobs, args: argparse.Namespace) -> None:
    control_port = args.control_port
    if control_port is None:
        control_port = args.port + CONTROL_OFFSET if args.port else 0
    instance = Instance(knobs, host=args.host, port=args.port)
    control = Control(instance, control_port)
    await control.start()
    ready = {"url": instance.server.url, "control": control.server.url, "pid": os.getpid()}
    print(json.dumps(ready), flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await control.close()


def _fleet(args: argparse.Namespace, argv: list[str]) -> int:
    """A process for each instance, on ports one after the other; ends them when it ends."""
    base = args.base_port or args.port
    own = [sys.executable, "-m", "ollama_emulator", *argv, "--instances", "1"]
    children = [
        subprocess.Popen([*own, "--port", str(base + i), "--control-port", str(base + i + CONTROL_OFFSET)])
        for i in range(args.instances)
    ]

    def end(*_: object) -> None:
        for child in children:
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return max(child.wait() for child in children)


def _knobs(args: argparse.Namespace) -> Knobs:
    changes: dict[str, Any] = json.loads(args.knobs)
    for pair in args.set:
        name, _, value = pair.partition("=")
        changes[name] = value
    for name in ("preset", "time_scale", "num_parallel", "seed"):
        if getattr(args, name) is not None:
            changes[name] = getattr(args, name)
    if args.reply is not None:
        changes["reply"] = {"mode": args.reply}
    return from_environment(os.environ).updated(changes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ollama_emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11434, help="0: any free one")
    parser.add_argument("--control-port", type=int, default=None, help=f"default: port + {CONTROL_OFFSET}")
    parser.add_argument("--instances", type=int, default=1, help="processes, on ports one after the other")
    parser.add_argument("--base-port", type=int, default=None, help="port of the first instance")
    presets = "; ".join(f"{name}: {preset.note}" for name, preset in PRESETS.items())
    parser.add_argument("--preset", choices=sorted(PRESETS), default=None, help=presets)
    parser.add_argument(
        "--time-scale", type=float, default=None, help="1 real time, 0.1 ten times faster, 0 instant"
    )
    parser.add_argument("--num-parallel", type=int, default=None, help="slots of each model")
    parser.add_argument("--seed", type=int, default=None)
    modes = ("words", "echo", "script", "recite", "count", "endless")
    parser.add_argument("--reply", choices=modes, default=None, help="what models say")
    parser.add_argument("--knobs", default="{}", metavar="JSON", help="any knobs, as an object")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one knob")
    return parser


if __name__ == "__main__":
    sys.exit(main())
