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
from backend.core.events import Delta
from loadtests.fast_engine import TOKEN, Load
from loadtests.token_load import CpuPerToken, Target, application, cpu_of, engine, many, one, question

STEADY = Load(200, 5, 50)
READER = Principal("local", "local", frozenset(Role), frozenset({ANY_CORPUS}))
WORD = TOKEN.strip()
Step = Callable[[int], AsyncGenerator[str, None]]
"""One stream: text in which tokens are, as it comes."""


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
    before = (0.0, *(us for _, us in steps))
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


def _ladder(url: str, ollama: OllamaEngine, services: Services, load: Load) -> Sequence[tuple[str, Step]]:
    asked = question(0)
    request = GenerationRequest(load.name, (Message("user", asked),), Sampling(0.0, 512), asked, (), "en")

    async def spoken(number: int) -> AsyncGenerator[str, None]:
        async for piece in ollama.generate(Endpoint(url), request):
            yield piece.text if isinstance(piece, Text) else ""

    async def pooled(number: int) -> AsyncGenerator[str, None]:
        ask = Ask(f"{number}", "local", "local", time.monotonic() + 60)
        async for event in services.pool.generate(ask, request):
            yield event.text if isinstance(event, Text) else ""

    async def followed(number: int) -> AsyncGenerator[str, None]:
        run = await services.runs.start(READER, Question(question(number), model=load.name))
        async for stretch in services.runs.follow(run):
            for entry in stretch.entries:
                yield entry.event.text if isinstance(entry.event, Delta) else ""

    async def framed(number: int) -> AsyncGenerator[str, None]:
        run = await services.runs.start(READER, Question(question(number), model=load.name))
        async for body in frames(run.started, services.runs.follow(run)):
            yield body.decode()

    return (
        ("engine: HTTP client, JSON", spoken),
        ("pool: deadline, failover", pooled),
        ("answer, log, follower", followed),
        ("SSE frames", framed),
    )


async def _drain(stream: AsyncGenerator[str, None], cpu: CpuPerToken) -> None:
    async with aclosing(stream) as texts:
        async for text in texts:
            cpu.seen(text.count(WORD))
