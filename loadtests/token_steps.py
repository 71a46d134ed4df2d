"""What a first token and a token cost, step by step: `bench_overhead --steps`.

The real parts, one put before the other. A first token's steps are times that a client sees, or of a step
alone; a token's are CPU time, the difference from one step to the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from backend.api.sse import frames
from backend.chat.base import Question
from backend.chat.prompt import build
from backend.config import Settings
from backend.core.events import Delta
from backend.core.types import ANY_CORPUS, Message, Passage, Principal, Role, Sampling, Scored
from backend.embedding.models import find
from backend.embedding.tokens import tokens_of
from backend.engines.base import Endpoint, GenerationRequest, Text
from backend.engines.ollama import OllamaEngine
from backend.history.base import Owner
from backend.infra.http import open_session
from backend.pool.base import Ask, Instance
from backend.services import Services
from backend.wiring.services import open_services
from loadtests.bench import Report, percentile
from loadtests.fast_engine import TOKEN, Load
from loadtests.token_load import CpuPerToken, Read, Target, application, cpu_of, engine, many, one, question

FIRST = Load(2, 20)
"""Two tokens, so that what the end of an answer costs is not counted in its first."""
STEADY = Load(150, 10, 50)
READER = Principal("local", "local", frozenset(Role), frozenset({ANY_CORPUS}))
WORD = TOKEN.strip()
Step = Callable[[int], AsyncGenerator[str, None]]
"""One stream: text in which tokens are, as it comes."""


async def first_token_steps(report: Report, folder: Path, runs: int) -> None:
    """Times to first token at one stream, ms."""
    async with engine([FIRST]) as url, application(folder, url) as (ours, _):
        straight = Target("straight", url, "/api/chat")
        http_s = await _median([lambda _: _get(ours, "/health")] * runs)
        asked_s = await _median([lambda _: _get(ours, "/api/v1/session")] * runs)
        direct = [await one(straight, FIRST, number) for number in range(runs)]
        seen = [await one(ours, FIRST, number) for number in range(runs)]
    async with _parts(folder, FIRST) as (_, _, services):
        owner = Owner("local", "local")
        turn_s = await _median(
            [lambda n: services.history.begin(owner, None, uuid4().hex, question(n))] * runs
        )
    direct_s = percentile([s.first - s.sent for s in direct], 50)
    sources_s = percentile([s.sources - s.sent - s.retrieval_s for s in seen], 50)
    first_s = percentile([s.first - s.sources for s in seen], 50) - direct_s
    prompt_s, counted_s = _prompt_s(runs)
    rows = [
        ("connection, HTTP, guard, routing", http_s),
        ("who asks", asked_s - http_s),
        ("question read, checked, keyed; log and turn begun", sources_s - asked_s - prompt_s),
        ("(retrieval, left out)", percentile([s.retrieval_s for s in seen], 50)),
        ("(beside it: the turn committed, alone)", turn_s),
        ("prompt of six passages, alone", prompt_s),
        ("(the same, never counted before)", counted_s),
        ("pool, call of the engine, log, SSE; straight left out", first_s),
        ("added in all", sources_s + first_s),
    ]
    report.table(
        "A first token, ms (p50)", ("step", "ms"), [(n, s * 1000) for n, s in rows], key="first_steps"
    )


async def _median(works: Sequence[Callable[[int], Awaitable[object]]]) -> float:
    took = []
    for number, work in enumerate(works):
        began = time.perf_counter()
        await work(number)
        took.append(time.perf_counter() - began)
    return percentile(took, 50)


async def _get(target: Target, path: str) -> None:
    address = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode())
    await reader.read()
    writer.close()


def _prompt_s(runs: int) -> tuple[float, float]:
    """Seconds for a prompt of six passages of 180 tokens: when they were counted before, and when not."""
    section = Settings().embedding
    model = find(section.model, section.precision)
    assert model.source is not None
    exact = tokens_of(model.source, model.max_tokens).count
    sentence = "The library opens at nine in the morning from Tuesday to Saturday, until six. "
    passages = [Scored(_passage(f"{number}. {sentence * 10}"), 0.5) for number in range(6)]
    took = []
    for count in (lru_cache(exact), exact):
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            build(question(0), passages, (), "en", room_tokens=3584, history_tokens=800, count=count)
            times.append(time.perf_counter() - began)
        took.append(percentile(times, 50))
    return took[0], took[1]


def _passage(text: str) -> Passage:
    return Passage(text[:2], "d", "r", "hours.md", "Opening hours", (), text, None, 0, len(text), "en")


async def token_steps(report: Report, folder: Path) -> None:
    """CPU time of a token that travels alone, in each step of its way: 50 streams, a token every 10 ms."""
    load, steps = STEADY, list[tuple[str, float]]()
    async with _parts(folder, load) as (url, ollama, services):
        for name, step in _ladder(url, ollama, services, load):
            cpu = CpuPerToken(time.process_time, load.tokens * load.together)
            await asyncio.gather(*(_drain(step(number), cpu) for number in range(load.together)))
            steps.append((name, cpu.event_us))
    async with engine([load]) as url, application(folder, url) as (ours, running):
        cpu = CpuPerToken(cpu_of(running), load.tokens * load.together)
        await many(ours, load, lambda _, read: cpu.seen(read))
        steps.append(("HTTP: guard, uvicorn, socket", cpu.event_us))
    before = (0.0, *(us for _, us in steps))
    rows = [(name, us - last, us) for (name, us), last in zip(steps, before, strict=False)]
    report.table("A token, µs of CPU", ("step", "step alone", "so far"), rows, key="token_steps")


@asynccontextmanager
async def _parts(folder: Path, load: Load) -> AsyncIterator[tuple[str, OllamaEngine, Services]]:
    """A fast engine, an engine adapter and the services before it, in this process."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(engine([load]))
        ollama = OllamaEngine(await stack.enter_async_context(open_session()), context_tokens=4096)
        settings = Settings(data={"dir": folder})
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
        async for batch in services.runs.follow(run):
            for entry in batch:
                yield entry.event.text if isinstance(entry.event, Delta) else ""

    async def framed(number: int) -> AsyncGenerator[str, None]:
        run = await services.runs.start(READER, Question(question(number), model=load.name))
        async for body in frames(services.runs.follow(run)):
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
            cpu.seen(Read(text.count(WORD), WORD in text))
