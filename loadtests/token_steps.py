"""What a first token and a token cost, step by step: `bench_overhead --steps`.

The real parts, one put before the other. Costs of a token are CPU time, the difference from one step to the next;
times to first token are seen by a client, or taken of a step alone.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from backend.api.sse import frames
from backend.cache.keys import AnswerKey
from backend.chat.base import Question
from backend.chat.prompt import build
from backend.config import Settings
from backend.core.types import ANY_CORPUS, Message, Passage, Principal, Role, Sampling, Scored
from backend.engines.base import Endpoint, GenerationRequest, Text
from backend.engines.ollama import OllamaEngine
from backend.history.base import Owner
from backend.infra.http import open_session
from backend.infra.language import detect
from backend.pool.base import Ask, Instance
from backend.services import Services
from backend.wiring import open_services
from loadtests.bench import Report
from loadtests.fast_engine import Load
from loadtests.token_load import CpuPerToken, Target, application, cpu_of, engine, many, one

STEADY = Load(200, 5, 50)
READER = Principal("local", "local", frozenset(Role), frozenset({ANY_CORPUS}))
QUESTION = "When does the library open in the morning?"
Step = Callable[[int], AsyncGenerator[int, None]]
"""One stream: how many tokens came, each time some came."""


async def token_steps(report: Report, folder: Path) -> None:
    """CPU time of a token in each step of its way, 50 streams, a token every 5 ms, one token an event."""
    load, steps = STEADY, list[tuple[str, float]]()
    async with _parts(folder, load) as (url, ollama, services):
        for name, step in _ladder(url, ollama, services, load):
            cpu = CpuPerToken(time.process_time, load.tokens * load.together)
            await asyncio.gather(*(_drain(step(number), cpu) for number in range(load.together)))
            steps.append((name, cpu.us))
    async with engine([load]) as url, application(folder, url) as (ours, running):
        cpu = CpuPerToken(cpu_of(running), load.tokens * load.together)
        await many(ours, load, cpu.seen)
        steps.append(("HTTP: uvicorn, guard, socket", cpu.us))
    before = [0.0, *(us for _, us in steps)]
    rows = [(name, us - last, us) for (name, us), last in zip(steps, before, strict=False)]
    report.table("A token, µs of CPU", ("step", "step alone", "so far"), rows, key="token_steps")


@asynccontextmanager
async def _parts(folder: Path, load: Load) -> AsyncIterator[tuple[str, OllamaEngine, Services]]:
    """A fast engine, an engine adapter and the services before it, in this process."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(engine([load]))
        ollama = OllamaEngine(await stack.enter_async_context(open_session()), context_tokens=4096)
        settings = Settings(data={"dir": folder})  # type: ignore[arg-type]
        instance = Instance("fast", Endpoint(url), ollama, 5000)
        services = await stack.enter_async_context(open_services(settings, instances=[instance]))
        yield url, ollama, services


def _ladder(
    url: str, ollama: OllamaEngine, services: Services, load: Load
) -> Sequence[tuple[str, Step]]:
    request = GenerationRequest(load.name, (Message("user", QUESTION),), Sampling(0.0, 512), QUESTION, (), "en")

    async def spoken(number: int) -> AsyncGenerator[int, None]:
        async for piece in ollama.generate(Endpoint(url), request):
            yield isinstance(piece, Text)

    async def pooled(number: int) -> AsyncGenerator[int, None]:
        async for event in services.pool.generate(Ask(f"{number}", "local", "local", time.monotonic() + 60), request):
            yield isinstance(event, Text)

    async def followed(number: int) -> AsyncGenerator[int, None]:
        run = await services.runs.start(READER, Question(f"{QUESTION} {number} followed", model=load.name))
        async for stretch in services.runs.follow(run):
            yield sum(entry.event.name == "delta" for entry in stretch.entries)

    async def framed(number: int) -> AsyncGenerator[int, None]:
        run = await services.runs.start(READER, Question(f"{QUESTION} {number} framed", model=load.name))
        async for body in frames(run.started, services.runs.follow(run)):
            yield body.count(b"event: delta")

    return (
        ("engine: HTTP client, JSON", spoken),
        ("pool: deadline, failover", pooled),
        ("answer, log, follower", followed),
        ("SSE frames", framed),
    )


async def _drain(stream: AsyncGenerator[int, None], cpu: CpuPerToken) -> None:
    async with aclosing(stream) as tokens:
        async for count in tokens:
            cpu.seen(count)
