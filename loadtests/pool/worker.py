"""One client process: `python -m loadtests.pool.worker JOB`. Owns a pool, sends its arrivals, writes records.

It says "ready" on its standard output and waits for a line with the common start (monotonic seconds).
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import uvloop

from backend.core.clock import SystemClock
from backend.core.errors import LibriError
from backend.core.types import Message, Sampling
from backend.engines.base import Bounds, Endpoint, GenerationRequest, Text
from backend.engines.ollama import OllamaEngine
from backend.infra.http import open_session
from backend.pool.base import Ask, Assigned, Instance, PoolEvent, Restarted, Waiting
from loadtests.pool.arrivals import Arrival
from loadtests.pool.contenders import Contender, Site, factory
from loadtests.pool.fleet import CONTEXT_TOKENS
from loadtests.pool.job import Job, read_job
from loadtests.pool.records import DONE, Record, Told, to_line

_clock = SystemClock()


async def work(job: Job) -> None:
    """Do the whole job."""
    async with open_session() as session:
        engine = OllamaEngine(session, context_tokens=CONTEXT_TOKENS)
        instances = tuple(
            Instance(a.id, Endpoint(a.url), engine, a.slots, frozenset(a.models), len(a.models))
            for a in job.instances
        )
        site = Site(
            instances, job.process, job.front_url, job.redis_url,
            queue_limit=job.queue_limit, quarantine_s=job.quarantine_s, max_wait_s=job.max_wait_s,
        )  # fmt: skip
        async with factory(job.contender)(site) as pool:
            print("ready", flush=True)
            start_s = float(await asyncio.to_thread(sys.stdin.readline))
            with Path(job.records).open("wb", buffering=0) as out:
                await _send_all(pool, job, start_s, out)


async def _send_all(pool: Contender, job: Job, start_s: float, out: BinaryIO) -> None:
    async with asyncio.TaskGroup() as group:
        for arrival in job.arrivals:
            due_s = start_s + arrival.at_s
            await asyncio.sleep(due_s - _clock.monotonic())
            group.create_task(_send(pool, job, arrival, due_s, out))


async def _send(pool: Contender, job: Job, arrival: Arrival, due_s: float, out: BinaryIO) -> None:
    """One reader: asks, reads to the end, writes the record."""
    record = Record(arrival.id, job.process, arrival.model, arrival.subject, _clock.monotonic())
    record.late_s = record.arrived_s - due_s
    record.output_tokens = arrival.output_tokens
    said: list[str] = []
    try:
        events = pool.generate(_ask(job, arrival), _request(job, arrival))
        async with aclosing(events):
            async for event in events:
                _note(record, event, said)
        record.outcome = DONE
    except LibriError as exc:
        record.outcome, record.retry_after_s = exc.code, exc.retry_after_s
    record.ended_s = _clock.monotonic()
    record.compare("".join(said))
    out.write(to_line(record))


def _note(record: Record, event: PoolEvent, said: list[str]) -> None:
    if isinstance(event, Text):
        if record.first_s is None:
            record.first_s = _clock.monotonic()
        said.append(event.text)
    elif isinstance(event, Waiting):
        told = Told(_clock.monotonic(), event.position, event.eta_s, event.eta_high_s)
        record.told.append(told)
    elif isinstance(event, Assigned):
        record.assigned.append((_clock.monotonic(), event.instance))
    elif isinstance(event, Restarted):
        record.restarts += 1
        said.clear()


def _ask(job: Job, arrival: Arrival) -> Ask:
    return Ask(
        generation=f"g-{arrival.id}",
        tenant="bench",
        subject=arrival.subject,
        deadline=_clock.monotonic() + job.deadline_s,
        priority="batch" if arrival.is_batch else "interactive",
    )


def _request(job: Job, arrival: Arrival) -> GenerationRequest:
    return GenerationRequest(
        model=arrival.model,
        messages=(Message("user", arrival.prompt),),
        sampling=Sampling(temperature=0.0, max_tokens=job.max_tokens),
        question=arrival.prompt[:80],
        passages=(),
        language="en",
        bounds=Bounds(first_token_s=job.first_token_s, gap_s=job.gap_s),
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)  # what goes wrong here is meant to
    uvloop.run(work(read_job(Path(sys.argv[1]))))
