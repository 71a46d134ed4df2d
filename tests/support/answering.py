"""The read path behind the log, with nothing left out but stores and model servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from backend.chat.answer import Answerer
from backend.chat.grounding import Grounding
from backend.chat.memory import MemoryRuns
from backend.chat.openings import Openings
from backend.chat.outbox import Outbox
from backend.chat.producer import BackgroundProducer
from backend.chat.runs import Runs
from backend.chat.turns import Turns
from backend.config import Chat
from backend.config import Engine as EngineSettings
from backend.core.clock import Clock
from backend.core.errors import RetrievalUnavailable
from backend.core.events import Event, Terminal
from backend.core.types import Language, Scored
from backend.corpus.base import Catalogue, CorpusRef, LiveView
from backend.engines.extractive import ExtractiveEngine
from backend.engines.scripted import ScriptedEngine
from backend.generations.base import Entry, GenerationId, Joined, RequestRecord
from backend.generations.memory import MemoryLog
from backend.history.base import Owner
from backend.history.memory import MemoryHistory
from backend.retrieval.base import Retrieved
from backend.telemetry.metrics import Metrics
from tests.support.asks import an_instance
from tests.support.calibrations import WORDS_ALONE
from tests.support.manual_clock import ManualClock
from tests.support.passages import scored
from tests.support.pool import a_pool
from tests.support.records import a_record

OWNER = Owner("t", "s")
PASSAGES = scored("The library opens at nine.", "A loan lasts three weeks.")


@dataclass(slots=True)
class Shelf:
    """A retriever that finds what it is given, and counts how often it was asked."""

    passages: tuple[Scored, ...] = PASSAGES
    degraded: tuple[str, ...] = ()
    error: RetrievalUnavailable | None = None
    asked: int = 0

    async def retrieve(
        self, corpora: Sequence[CorpusRef], question: str, language: Language, *, budget_tokens: int
    ) -> Retrieved:
        """See `Retriever`."""
        self.asked += 1
        if self.error:
            raise self.error
        return Retrieved(self.passages, (), self.degraded)


@dataclass(slots=True)
class Documents:
    """A catalogue that tells a version for each corpus."""

    versions: dict[str, str] = field(default_factory=dict)

    async def live(self, corpus: CorpusRef) -> LiveView:
        """See `Catalogue`."""
        return LiveView(self.versions.get(corpus.name, "1"), frozenset())


@dataclass(slots=True)
class Desk:
    """Runs and a producer over scripted instances, and the log and history that they write."""

    runs: Runs
    documents: Documents
    engine: ScriptedEngine
    producer: BackgroundProducer
    log: MemoryLog
    history: MemoryHistory
    clock: ManualClock
    shelf: Shelf
    conversations: dict[str, str] = field(default_factory=dict)

    async def begin(self, run: str = "r1", key: str | None = None, **changes: Any) -> Joined:
        """A generation with its turn opened, and nobody who produces it."""
        now = self.clock.now()
        record = a_record(run=run, began=now, deadline=now + 600, **changes)
        joined = await self.log.begin(key, run, record)
        self.conversations[run] = await self.history.begin(OWNER, None, run, "?")
        self.record = record
        return joined

    async def start(self, run: str = "r1", **changes: Any) -> GenerationId:
        """A generation that is produced."""
        joined = await self.begin(run, **changes)
        assert joined.writer is not None
        self.producer.start(joined.writer, self.record)
        return joined.generation

    async def read(self, generation: GenerationId) -> list[Entry]:
        """The log up to its end."""
        return [entry async for batch in self.log.follow(generation, idle_s=0.05) for entry in batch]

    async def turn(self, run: str = "r1"):
        """The run's turn."""
        return (await self.history.turns(OWNER, self.conversations[run]))[0]

    record: RequestRecord = field(default_factory=a_record)


def ends(entries: Sequence[Entry]) -> list[Event]:
    """The terminal events among them."""
    return [entry.event for entry in entries if isinstance(entry.event, Terminal)]


@asynccontextmanager
async def a_desk(
    engine: ScriptedEngine,
    *,
    shelf: Shelf | None = None,
    chat: Chat | None = None,
    history: Callable[[Clock], MemoryHistory] = MemoryHistory,
) -> AsyncIterator[Desk]:
    """Everything in memory, at a clock that stands still."""
    clock = ManualClock()
    shelf = shelf or Shelf()
    log, metrics = MemoryLog(clock), Metrics()
    kept = history(clock)
    instances = an_instance(engine, "a", slots=4), an_instance(engine, "b", slots=4)
    async with a_pool(*instances, clock=clock) as it:
        producer = _producer(it.pool, shelf, log, kept, metrics, clock)
        documents = Documents()
        runs = Runs(
            store=MemoryRuns(clock, retention_s=1200), producer=producer, generations=log, history=kept,
            openings=Openings(kept, producer.turns.outbox), turns=producer.turns,
            catalogue=cast(Catalogue, documents), pool=it.pool, metrics=metrics, clock=clock,
            detect=lambda _: "en", chat=chat or Chat(), default_model="", retrieval="e5", context_tokens=None,
        )  # fmt: skip
        yield Desk(runs, documents, engine, producer, log, kept, clock, shelf)
        await producer.close(0)


def _producer(pool, shelf, log, history, metrics, clock: Clock) -> BackgroundProducer:
    grounding = Grounding(
        retriever=shelf, pool=pool, metrics=metrics, clock=clock, count=lambda text: len(text.split()),
        passage_tokens=1000, history_tokens=800, doubt_threshold=0.5,
    )  # fmt: skip
    answerer = Answerer(
        grounding=grounding, pool=pool, clock=clock,
        fallback=ExtractiveEngine(by_words=WORDS_ALONE.by_words),
        engine=EngineSettings(),
    )  # fmt: skip
    turns = Turns(history=history, generations=log, outbox=Outbox())
    return BackgroundProducer(answerer=answerer, turns=turns, generations=log, metrics=metrics, clock=clock)
