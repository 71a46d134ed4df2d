"""What the path of a token costs: run, log and SSE of one process, before an engine that costs nothing.

Straight to the engine, through the application and, where `--litellm` names a virtual environment that has
`litellm[proxy]`, through LiteLLM's proxy with one worker; in the same run, over raw sockets. With `--shared`
a second one of ours keeps all in Redis, PostgreSQL and Chroma, as a replica does. Tokens are counted; the
time of a run of streams is from the first token of any to the end of all. Retrieval is left out of the added
time to first token by the application's own timings. `--steps` shows where time goes instead.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from devstack.child import in_thread
from devstack.chroma import chroma_server
from devstack.postgres import postgres_server
from devstack.redis import redis_server
from loadtests.bench import Report, arguments, percentile
from loadtests.fast_engine import Load
from loadtests.token_load import (
    OURS,
    CpuPerToken,
    Read,
    Stream,
    Target,
    application,
    cpu_of,
    engine,
    litellm,
    many,
    one,
    process,
    rate,
)
from loadtests.token_steps import FIRST, first_token_steps, token_steps

BRANCHES = 6
"""Documents, of one passage each: a prompt holds as many."""
SENTENCE = (
    "The library of branch {branch} opens shelf {n} at {hour} in the morning for readers who bring card "
    "{card}, and closes it when the caretaker has counted {n} books twice."
)
SHARED = f"{OURS}, shared"
LITELLM_TOKENS = 64
"""LiteLLM is slower by a factor of ten and more: it gets shorter answers. A rate is a rate."""
RATE_BARS = {(0, 200): 40_000, (5, 200): 15_000}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the engine, and the process that stands in it."""

    target: Target
    running: psutil.Process | None = None
    most_tokens: int | None = None

    def load(self, load: Load) -> Load:
        """The load, with answers no longer than this way bears."""
        return replace(load, tokens=min(load.tokens, self.most_tokens or load.tokens))


@dataclass(slots=True)
class Measured:
    """A load by one way: rate and CPU time a token of each repeat, and how long each token was under way."""

    way: Way
    load: Load
    rates: list[float] = field(default_factory=list)
    costs_us: list[float] = field(default_factory=list)
    held_ms: list[float] = field(default_factory=list)

    async def once_more(self) -> None:
        """Send the load."""
        load, running = self.way.load(self.load), self.way.running
        cpu = CpuPerToken(cpu_of(running or psutil.Process()), load.tokens * load.together)
        streams = await many(self.way.target, load, lambda _, read: cpu.seen(read))
        self.rates.append(rate(streams))
        if running:
            self.costs_us.append(cpu.us)
        self.held_ms += [delay * 1000 for stream in streams for delay in stream.delays]

    @property
    def names(self) -> tuple[str, int, str]:
        """What a row begins with."""
        pace = f"every {self.load.gap_ms} ms" if self.load.gap_ms else "instant"
        return pace, self.load.together, self.way.target.name

    @property
    def tokens_per_s(self) -> float:
        """Median of the repeats."""
        return statistics.median(self.rates)

    @property
    def cpu_us(self) -> float | str:
        """Median of the repeats; empty where nothing stands between."""
        return statistics.median(self.costs_us) if self.costs_us else ""


def loads(*, quick: bool) -> list[Load]:
    """Those whose rate is measured: instant tokens, one every 5 ms, and the pace of a fast model."""
    counts = (1, 200) if quick else (1, 50, 200)
    instant = [Load(max(1024, 16_384 // streams), 0, streams) for streams in counts]
    paced = [Load(400, 5, streams, stamped=True) for streams in counts]
    return [*instant, *paced, Load(100, 20, 200, stamped=True)]


async def first_tokens(report: Report, ways: Sequence[Way], runs: int) -> None:
    """Added time to first token at one stream, by each way in turns; retrieval left out."""
    for way in ways:
        await one(way.target, FIRST, 0)
    seen: dict[str, list[Stream]] = {way.target.name: [] for way in ways}
    for number in range(1, runs + 1):
        for way in ways:
            seen[way.target.name].append(await one(way.target, FIRST, number))
    rows: list[tuple[str, float, float]] = []
    added: dict[str, list[float]] = {}
    direct_ms = 0.0
    for name, streams in seen.items():
        added[name] = [(s.first - s.sent - s.retrieval_s) * 1000 - direct_ms for s in streams]
        rows.append((f"added, {name}" if direct_ms else name, *_p50_p99(added[name])))
        if name in (OURS, SHARED):
            rows.append(("its retrieval, left out", *_p50_p99([s.retrieval_s * 1000 for s in streams])))
        direct_ms = direct_ms or percentile(added[name], 50)
    report.table("Time to first token, one stream, ms", ("what", "p50", "p99"), rows, key="first_token_ms")
    ours_ms = percentile(added[OURS], 50)
    report.bar("added time to first token p50, ms", ours_ms, at_most=5.0)
    if SHARED in added:
        dearer_ms = percentile(added[SHARED], 50) - ours_ms
        report.bar("the same more, with everything shared, ms", dearer_ms, at_most=8.0)


def _p50_p99(values: Sequence[float]) -> tuple[float, float]:
    return percentile(values, 50), percentile(values, 99)


async def rates(report: Report, ways: Sequence[Way], wanted: Sequence[Load], repeats: int) -> None:
    """Tokens per second and how long a token is under way, by each way in turns."""
    found = [one_way for load in wanted for one_way in await _in_turns(ways, load, repeats)]
    rows = [(*m.names, m.tokens_per_s, m.cpu_us) for m in found]
    report.table(
        "Tokens per second", ("tokens", "streams", "way", "tokens/s", "CPU, µs a token"), rows, key="rates"
    )
    columns = ("tokens", "streams", "way", "p50", "p99", "max")
    held = [(*m.names, *_p50_p99(m.held_ms), max(m.held_ms)) for m in found if m.held_ms]
    report.table("From the engine's write of a token to the client's read, ms", columns, held, key="held_ms")
    for ours in (m for m in found if m.way.target.name == OURS):
        load = ours.load
        if (bar := RATE_BARS.get((load.gap_ms, load.together))) is not None:
            report.bar(
                f"tokens/s, gap {load.gap_ms} ms, {load.together} streams", ours.tokens_per_s, at_least=bar
            )
        if load.stamped and load.together == 1:
            report.bar(
                "ms a token is under way at one stream, p99", percentile(ours.held_ms, 99), at_most=25.0
            )


async def _in_turns(ways: Sequence[Way], load: Load, repeats: int) -> list[Measured]:
    """The load by each way, `repeats` times in turns."""
    found = [Measured(way, load) for way in ways]
    for _ in range(repeats):
        for measured in found:
            await measured.once_more()
    return found


async def memory(report: Report, folder: Path, streams: int) -> None:
    """What an open, silent stream weighs in the application's process."""
    load, warm = Load(1, 0, streams + 1), Load(1, 0, 50)
    async with engine([load, warm]) as url, application(folder, url) as (through, running):
        await many(through, warm)  # what the first questions load is no stream's weight
        before, silent = running.memory_info().rss, set[int]()

        def seen(stream: Stream, _: Read) -> None:
            if stream.sources:
                silent.add(id(stream))

        waiting = [asyncio.ensure_future(one(through, load, number, seen)) for number in range(streams)]
        async with asyncio.timeout(120):
            while len(silent) < streams:
                await asyncio.sleep(0.5)
        await asyncio.sleep(2)
        open_now = sum(not task.done() for task in waiting)
        weight = (running.memory_info().rss - before) / streams / 1024
        waiting.append(asyncio.ensure_future(one(through, load, streams)))
        whole = sum(stream.tokens == 1 for stream in await asyncio.gather(*waiting))
    columns = ("idle streams", "open after the wait", "ended whole", "KiB each")
    report.table("Memory of an open stream", columns, [(streams, open_now, whole, weight)], key="memory")
    report.bar("KiB of memory an open stream", weight, at_most=200.0)
    report.bar("idle streams that ended whole", whole, at_least=streams + 1)


@asynccontextmanager
async def every_way(
    report: Report, args: argparse.Namespace, scratch: Path, wanted: Sequence[Load]
) -> AsyncIterator[list[Way]]:
    """Straight to the engine, LiteLLM where it is, and the application."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(engine([FIRST, *wanted]))
        ways = [Way(Target("straight", url, "/api/chat"))]
        if args.litellm is None:
            report.say("LiteLLM is left out: --litellm names a virtual environment that has litellm[proxy].")
        else:
            proxy, running = await stack.enter_async_context(litellm(scratch, args.litellm, url))
            ways.append(Way(proxy, running, LITELLM_TOKENS))
        ours, running = await stack.enter_async_context(application(scratch / "data", url))
        ways.append(Way(ours, running))
        if args.shared:
            ways.append(await stack.enter_async_context(_shared(scratch, url)))
        yield ways


@asynccontextmanager
async def _shared(scratch: Path, engine_url: str) -> AsyncIterator[Way]:
    """A process of ours that keeps nothing for itself."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(in_thread(redis_server(scratch)))
        database = await stack.enter_async_context(in_thread(postgres_server(folder=scratch)))
        chroma = await stack.enter_async_context(in_thread(chroma_server(scratch)))
        stores = {"REDIS_URL": redis.url, "DATABASE_URL": database, "CHROMA_URL": chroma.url}
        await ingest(scratch, scratch / "shared", stores)
        started = application(scratch / "shared", engine_url, more=stores)
        target, running = await stack.enter_async_context(started)
        yield Way(replace(target, name=SHARED), running)


async def bench(args: argparse.Namespace) -> int:
    """All of it."""
    report = Report("bench_overhead")
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        scratch = Path(name)
        await ingest(scratch, scratch / "data")
        if args.steps:
            await first_token_steps(report, scratch / "data", 50 if args.quick else 300)
            await token_steps(report, scratch / "data")
            return report.finish(args)
        wanted = loads(quick=args.quick)
        async with every_way(report, args, scratch, wanted) as ways:
            await first_tokens(report, ways, 50 if args.quick else 300)
            await rates(report, ways, wanted, 1 if args.quick else 3)
        await memory(report, scratch / "data", 200 if args.quick else 1000)
    return report.finish(args)


async def ingest(scratch: Path, data: Path, stores: Mapping[str, str] | None = None) -> None:
    """Hand in documents that answer the questions of the load."""
    files = []
    for branch in range(BRANCHES):
        sentences = [SENTENCE.format(branch=branch, n=n, hour=n + 5, card=branch * 31 + n) for n in range(6)]
        files.append(scratch / f"branch{branch}.md")
        files[-1].write_text(f"# Opening hours of branch {branch}\n\n{' '.join(sentences)}\n")
    command = (sys.executable, "-m", "backend", "ingest", *map(str, files))
    async with process(*command, environment={"LIBRI_DATA__DIR": str(data), **(stores or {})}) as child:
        await child.wait()


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--litellm", type=Path, metavar="VENV", help="a virtual environment with litellm[proxy]"
    )
    parser.add_argument("--shared", action="store_true", help="one of ours that shares everything as well")
    parser.add_argument(
        "--steps", action="store_true", help="what a first token and a token cost, step by step"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when `--check` finds a bar missed."""
    args = arguments("What the path of a token costs.", argv, more=_options)
    return asyncio.run(bench(args))


if __name__ == "__main__":
    sys.exit(main())
