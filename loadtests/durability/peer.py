"""The kill of a worker at LiteLLM's proxy: what its readers lose, whose protocol knows no coming back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import aiohttp
import psutil

from devstack.emulator import emulator_processes
from loadtests.bench import Report
from loadtests.durability.crew import client
from loadtests.durability.instances import MODEL, paced
from loadtests.durability.questions import Question, difference
from loadtests.token_load import litellm

READERS = 60
TOKENS, TOKENS_PER_S = 60, 4.0
_ENDS_S, _STARTS_S, _SETTLES_S = 120.0, 240.0, 15.0
_IMPORTED_BYTES = 300e6
"""What a worker weighs that has begun to serve."""


async def _read(session: aiohttp.ClientSession, url: str, question: Question) -> tuple[str, bool]:
    """The text, and whether the stream said that it ended."""
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": question.text}]}
    text, ended = "", False
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:])["choices"]
                    text += (choices[0]["delta"].get("content") or "") if choices else ""
                ended = ended or line.startswith(b"data: [DONE]")
    except (aiohttp.ClientError, OSError, ValueError, KeyError):
        return text, False
    return text, ended


@asynccontextmanager
async def _proxy(scratch: Path, venv: Path) -> AsyncIterator[tuple[str, psutil.Process]]:
    knobs = [{"num_parallel": 2 * READERS, **paced(TOKENS_PER_S)}]
    with emulator_processes(knobs, folder=scratch) as (engine,):
        async with litellm(scratch, venv, engine.url, workers=2) as (target, running):
            yield target.url, running


async def kill_of_a_worker(report: Report, scratch: Path, venv: Path) -> None:
    """The table: how many streams broke, and how many of those who then ask again get a whole answer."""
    async with _proxy(scratch, venv) as (url, running), client() as session:
        workers = await _both_serve(running)
        questions = [Question(n, TOKENS) for n in range(READERS)]
        async with asyncio.timeout(_ENDS_S):
            reading = [asyncio.ensure_future(_read(session, url, one)) for one in questions]
            await asyncio.sleep(TOKENS / TOKENS_PER_S / 3)
            began = monotonic()
            os.kill(max(workers, key=_streams).pid, signal.SIGKILL)
            first = await asyncio.gather(*reading)
            took_s = monotonic() - began
    broken = [
        not ended or bool(difference(one, text)) for one, (text, ended) in zip(questions, first, strict=True)
    ]
    said = [len(text.split()) for (text, _), was in zip(first, broken, strict=True) if was]
    rows = [
        ("streams", READERS),
        ("answers lost", sum(broken)),
        ("tokens that their readers had seen, and that are generated anew for who asks again", sum(said)),
        ("s until all others had ended", took_s),
    ]
    report.table("LiteLLM's proxy, two workers: kill -9 of one", ("what", "how many"), rows, key="litellm")


async def _both_serve(running: psutil.Process) -> list[psutil.Process]:
    """The two processes that serve, once the second has imported as much as the first."""
    async with asyncio.timeout(_STARTS_S):
        while True:
            below = sorted(running.children(recursive=True), key=lambda one: -int(one.memory_info().rss))
            if len(below) > 1 and below[1].memory_info().rss > _IMPORTED_BYTES:
                await asyncio.sleep(_SETTLES_S)
                return below[:2]
            await asyncio.sleep(0.5)


def _streams(worker: psutil.Process) -> int:
    """Connections that it has with readers and the model server."""
    return sum(one.status == psutil.CONN_ESTABLISHED for one in worker.net_connections())
