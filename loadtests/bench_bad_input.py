"""What the assistant makes of bad input: every endpoint, every kind of nonsense, over real sockets.

`python -m loadtests.bench_bad_input [--quick] [--check] [--json FILE]` starts the application and an echoing
model server by itself. Bars: no 5xx, no error of 1 KB or more, no forged event, no control token in a prompt,
nothing secret in logs and metrics.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from devstack.child import in_thread
from devstack.replica import Replica, replica
from loadtests.bad_input.bodies import address_inputs, json_inputs, send
from loadtests.bad_input.model_server import EchoModel, echo_model
from loadtests.bad_input.raw import slow_bodies, try_raw
from loadtests.bad_input.tally import Tally
from loadtests.bad_input.texts import leaks, try_texts
from loadtests.bad_input.uploads import try_uploads
from loadtests.bench import Report, arguments

BODY_TIMEOUT_S = 1.0
SECRET = "bench-secret-0123456789abcdef0123456789"


async def measure(*, quick: bool) -> tuple[Tally, dict[str, Any], dict[str, str]]:
    """All inputs; the tally, other figures, and what became of each file."""
    tally = Tally()
    async with echo_model() as model:
        settings = {
            "LIBRI_ENGINE__BACKEND": "openai",
            "LIBRI_ENGINE__OPENAI_URLS": model.url,
            "LIBRI_ENGINE__OPENAI_API_KEY": SECRET,
            "LIBRI_ENGINE__SLOTS": "4",
            "LIBRI_AUTH__COOKIE_SECRET": SECRET,
            "LIBRI_SERVER__BODY_TIMEOUT_S": str(BODY_TIMEOUT_S),
            "LIBRI_INGEST__PARSE_TIMEOUT_S": "20",
            "LIBRI_LOGGING__LEVEL": "DEBUG",
        }
        async with in_thread(replica(settings)) as app:
            figures, outcomes = await _attack(app, model, tally, quick=quick)
    return tally, figures, outcomes


async def _attack(
    app: Replica, model: EchoModel, tally: Tally, *, quick: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    began = time.perf_counter()
    async with httpx.AsyncClient(base_url=app.url, timeout=60) as client:
        texts = await try_texts(client, model, tally, quick=quick)
        for wanted in (*address_inputs(), *json_inputs()):
            await send(client, wanted, tally)
        await try_raw(app.port, tally, body_timeout_s=BODY_TIMEOUT_S)
        slowest_s = await slow_bodies(
            app.port, tally, connections=20 if quick else 200, body_timeout_s=BODY_TIMEOUT_S
        )
        outcomes = await try_uploads(client, tally, quick=quick)
        alive = await client.post("/api/v1/chat", json={"question": "What does the Quagga rule say?"})
        figures: dict[str, Any] = {
            **texts,
            "leaks": await leaks(client, app.log, (SECRET,)),
            "answers afterwards": int(alive.status_code == 200),
            "slow body given up after s": slowest_s,
            "server peak MB": _peak_mb(app.pid),
            "seconds": time.perf_counter() - began,
        }
    return figures, outcomes


def _peak_mb(pid: int) -> float:
    """Most memory the server process held, in MB; NaN where /proc does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, and judge."""
    args = arguments(__doc__ or "", argv)
    report = Report("bench_bad_input")
    tally, figures, outcomes = asyncio.run(measure(quick=args.quick))
    columns = ("kind", "tried", "5xx", "accepted", "largest error, bytes")
    rows = [
        (name, group.tried, group.server_errors, group.accepted, group.largest_error_bytes)
        for name, group in tally.groups.items()
    ]
    report.table("Bad input", columns, rows, key="groups")
    report.table("What became of the files", ("file", "outcome"), [(repr(n), o) for n, o in outcomes.items()])
    report.table("Other figures", ("what", "figure"), list(figures.items()), key="figures")
    report.record("totals", {key: tally.total(key) for key in asdict(next(iter(tally.groups.values())))})
    report.record("surprises", tally.surprises)
    for surprise in tally.surprises[:60]:
        report.say(f"surprise  {surprise}")
    report.bar("inputs tried", tally.total("tried"), at_least=1000)
    report.bar("5xx", tally.total("server_errors"), at_most=0)
    report.bar("largest error body, bytes", tally.largest_error_bytes, at_most=1023)
    report.bar("forged events", figures["forged events"], at_most=0)
    report.bar("control tokens in prompts", figures["control tokens in prompts"], at_most=0)
    report.bar("prompts with a poisoned passage", figures["prompts with a poisoned passage"], at_least=10)
    report.bar("documents in the system message", figures["documents in the system message"], at_most=0)
    report.bar("secrets or questions in logs and metrics", figures["leaks"], at_most=0)
    report.bar("answers afterwards", figures["answers afterwards"], at_least=1)
    report.bar("surprises", len(tally.surprises), at_most=0)
    return report.finish(args)


if __name__ == "__main__":
    sys.exit(main())
