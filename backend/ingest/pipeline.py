"""Waiting items of one corpus: read, embed and write overlap, so that embedding sets the pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from backend.core.aio import first_of_group
from backend.core.clock import Clock
from backend.corpus.base import CorpusRef
from backend.ingest.in_flight import InFlight
from backend.ingest.jobs import Item, JobStore, Outcome
from backend.ingest.prepare import Prepared, Preparer
from backend.ingest.publish import Embedded, Publisher
from backend.telemetry.metrics import Metrics

READ_AHEAD = 16
PAGE = 100


class _End:
    """Nothing more comes."""


@dataclass(slots=True)
class _Batch:
    """What travels from stage to stage: verdicts, and documents to publish."""

    verdicts: list[Outcome] = field(default_factory=list)
    documents: list[Prepared] = field(default_factory=list)
    embedded: Embedded | None = None

    @property
    def passages(self) -> int:
        return sum(len(document.new.passages) for document in self.documents)

    @property
    def size(self) -> int:
        return len(self.verdicts) + len(self.documents)

    def add(self, read: Prepared | Outcome) -> None:
        if isinstance(read, Outcome):
            self.verdicts.append(read)
        else:
            self.documents.append(read)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Runs a corpus's items through `Preparer` and `Publisher`.

    Args:
        batch_passages: Small documents are put together until they have so many passages: one commit for all.
    """

    jobs: JobStore
    preparer: Preparer
    publisher: Publisher
    metrics: Metrics
    clock: Clock
    batch_passages: int = 128

    async def run(self, corpus: CorpusRef, writer: str) -> bool:
        """Work on the items that wait longest, a page of them; whether there were any.

        Raises:
            Unavailable: Something is down or full; items not finished still wait.
            Conflict: `writer` was overtaken.
        """
        items = await self.jobs.waiting(corpus, PAGE)
        if items:
            with first_of_group():
                await self._run(corpus, writer, items)
        return bool(items)

    async def _run(self, corpus: CorpusRef, writer: str, items: Sequence[Item]) -> None:
        read: asyncio.Queue[Prepared | Outcome | _End] = asyncio.Queue(READ_AHEAD)
        embedded: asyncio.Queue[_Batch | _End] = asyncio.Queue(1)
        in_flight = InFlight(self.clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(corpus, items, read, in_flight))
            group.create_task(self._embed(corpus, read, embedded))
            group.create_task(self._publish(corpus, writer, embedded, in_flight))

    async def _read(
        self,
        corpus: CorpusRef,
        items: Sequence[Item],
        out: asyncio.Queue[Prepared | Outcome | _End],
        in_flight: InFlight,
    ) -> None:
        for item in items:
            await in_flight.enter(item.name)
            await out.put(await self.preparer.prepare(corpus, item))
        await out.put(_End())

    async def _embed(
        self,
        corpus: CorpusRef,
        read: asyncio.Queue[Prepared | Outcome | _End],
        out: asyncio.Queue[_Batch | _End],
    ) -> None:
        async for batch in self._batches(read):
            if batch.documents:
                batch.embedded = await self.publisher.embed(corpus, batch.documents)
            await out.put(batch)
        await out.put(_End())

    async def _batches(self, read: asyncio.Queue[Prepared | Outcome | _End]) -> AsyncIterator[_Batch]:
        """Full batches, or what there is when nothing more is ready."""
        batch, ended = _Batch(), False
        while not ended:
            got = await read.get()
            if isinstance(got, _End):
                ended = True
            else:
                batch.add(got)
            if batch.size and (ended or read.empty() or batch.passages >= self.batch_passages):
                yield batch
                batch = _Batch()

    async def _publish(
        self, corpus: CorpusRef, writer: str, embedded: asyncio.Queue[_Batch | _End], in_flight: InFlight
    ) -> None:
        while not isinstance(batch := await embedded.get(), _End):
            outcomes = batch.verdicts
            if batch.embedded is not None:
                outcomes = outcomes + await self.publisher.publish(corpus, batch.embedded, writer)
            await self.jobs.finish(outcomes)
            for outcome in outcomes:
                self._count(outcome, in_flight.age_s(outcome.item.name))
            await in_flight.leave(outcome.item.name for outcome in outcomes)

    def _count(self, outcome: Outcome, took_s: float) -> None:
        if outcome.state == "done":
            self.metrics.ingested("done", passages=outcome.passages, seconds=took_s)
        elif outcome.state != "waiting":
            self.metrics.ingested(outcome.state)
