"""One reader's request: start it, follow it from any event, stop it, rate it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from backend.cache.keys import AnswerKey
from backend.chat.base import Idempotency, Producer, Question, Run, RunStore, earlier, owner_of
from backend.chat.openings import Openings
from backend.chat.prompt import PROMPT_VERSION
from backend.chat.standalone import standalone
from backend.chat.turns import UNKEPT, Turns
from backend.config import Chat
from backend.core.clock import Clock
from backend.core.errors import Forbidden, ModelNotOffered, TooLarge
from backend.core.events import Done, Origin, Terminal
from backend.core.model_names import QUOTING
from backend.core.types import ANY_CORPUS, DEFAULT_CORPUS, Language, Principal, Sampling
from backend.core.variant import Variant
from backend.corpus.base import Catalogue, CorpusRef
from backend.generations.base import START, Entry, EntryId, GenerationId, GenerationLog, RequestRecord
from backend.history.base import History, Owner, Rating
from backend.pool.base import Pool
from backend.pool.model_list import named
from backend.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The use cases around a run. Every call takes the principal: another's run does not exist.

    Args:
        detect: Language of a text, given a default for what is too short to tell.
        retrieval, context_tokens: As in `Variant`.
    """

    store: RunStore
    producer: Producer
    generations: GenerationLog
    history: History
    openings: Openings
    turns: Turns
    catalogue: Catalogue
    pool: Pool
    metrics: Metrics
    clock: Clock
    detect: Callable[[str], Language]
    chat: Chat
    default_model: str
    retrieval: str
    context_tokens: int | None

    async def start(
        self, principal: Principal, question: Question, idempotency: Idempotency | None = None
    ) -> Run:
        """Open a run: begin its generation, or join a live one with the same key.

        Raises:
            Forbidden: A corpus that is not granted.
            NotFound: Another's conversation.
            ModelNotOffered: A model that no server offers.
            TooLarge: The question is over its limit.
            Conflict: See `RunStore.claim`.
            PoolFull, LogUnavailable
        """
        owner = owner_of(principal)
        if len(question.text) > self.chat.max_question_chars:
            raise TooLarge(f"a question has at most {self.chat.max_question_chars} characters")
        corpora = self._corpora(principal, question)
        run_id = uuid4().hex
        if earlier_run := await self.store.claim(owner, run_id, idempotency):
            await self.generations.has_ended(earlier_run.generation)
            return earlier_run
        try:
            run = await self._open(run_id, principal, corpora, question)
        except BaseException:
            await self.store.release(owner, run_id, idempotency)
            raise
        await self.store.put(run)
        return run

    async def _open(
        self, run_id: str, principal: Principal, corpora: tuple[CorpusRef, ...], question: Question
    ) -> Run:
        owner = owner_of(principal)
        before, all_read = await self.openings.earlier(owner, question.conversation)
        turns = [turn for turn in before if turn.state in ("done", "stopped")]
        language = question.language or self.detect(question.text)
        now = self.clock.now()
        record = RequestRecord(
            run=run_id,
            principal=principal,
            corpora=corpora,
            question=question.text,
            standalone=standalone(question.text, [turn.question for turn in turns], language),
            language=language,
            history=earlier([(turn.question, turn.answer) for turn in turns]),
            variant=await self._variant(question),
            began=now,
            deadline=now + self.chat.deadline_s,
        )
        joined = await self.generations.begin(await self._key(record), run_id, record)
        if joined.writer is None:
            self.metrics.joined()
        else:
            self.producer.start(joined.writer, record)
        conversation, kept = await self._opened_turn(owner, question, run_id, joined.generation)
        unsure = not (all_read and kept)
        return Run(run_id, owner, joined.generation, conversation, joined.writer is None, unsure)

    async def _key(self, record: RequestRecord) -> str:
        """What questions are the same while they are answered."""
        versions = tuple([(ref.name, (await self.catalogue.live(ref)).version) for ref in record.corpora])
        return AnswerKey(
            record.principal.tenant,
            record.variant,
            versions,
            record.language,
            record.question,
            record.history,
        ).flight_digest()

    async def get(self, principal: Principal, run_id: str) -> Run:
        """The run.

        Raises:
            NotFound: No such run of this principal, or no longer kept.
        """
        run = await self.store.get(owner_of(principal), run_id)
        await self.generations.has_ended(run.generation)
        return run

    async def at_end(self, run: Run, after: EntryId) -> bool:
        """Whether `after` is the run's terminal event.

        Raises:
            NotFound: The log is gone, or never had this event.
        """
        return await self.generations.is_end(run.generation, after)

    async def follow(
        self, run: Run, after: EntryId = START, *, idle_s: float = 10.0
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """A run's `started`, then its events after `after`, as they come, up to exactly one terminal one.

        An empty batch: still alive, nothing new.

        Raises:
            NotFound: The log is gone.
        """
        is_told = ends = False
        if after != START and (origin := await self.generations.origin(run.generation)):
            is_told = True
            yield [Entry(START, run.started(origin))]
        log = self.generations.follow(run.generation, after, run=run.id, idle_s=idle_s)
        async with aclosing(log) as batches:
            async for batch in batches:
                if batch and not is_told:
                    is_told, batch = True, _started(run, batch)
                if ends := bool(batch) and isinstance(batch[-1].event, Terminal):
                    batch = await self._honest(run, batch) if run.unsure else batch
                yield batch
        if not ends:
            yield [Entry(START, Done("stopped"))]

    async def stop(self, principal: Principal, run_id: str) -> None:
        """Stop a run; its generation too, if no other run wants it. Stopping twice is no error.

        Raises:
            NotFound: No such run of this principal.
        """
        run = await self.get(principal, run_id)
        if await self.generations.has_ended(run.generation):
            return
        if await self.generations.leave(run.generation, run.id):
            await self.turns.end_run(run.id, run.generation)

    async def rate(self, principal: Principal, run_id: str, rating: Rating, reason: str) -> None:
        """Keep what the reader thinks of an answer.

        Raises:
            NotFound, StorageUnavailable
        """
        await self.history.rate(owner_of(principal), run_id, rating, reason)

    async def _opened_turn(
        self, owner: Owner, question: Question, run_id: str, generation: GenerationId
    ) -> tuple[str, bool]:
        """Open the turn while the answer is being made; the conversation's id, and whether it is kept."""
        try:
            return await self.openings.open(
                owner,
                question.conversation,
                run_id,
                question.text,
                partial(self.turns.opened, run_id, generation),
            )
        except BaseException:
            await self.generations.leave(generation, run_id)  # its turn, if it is opened yet, sees to itself
            raise

    async def _honest(self, run: Run, batch: Sequence[Entry]) -> Sequence[Entry]:
        """The batch, whose last event says whether the turn is missing from the conversation."""
        last = batch[-1]
        if not isinstance(last.event, Done) or UNKEPT in last.event.degraded:
            return batch
        if await self.openings.is_kept(run.owner, run.conversation, run.id):
            return batch
        told = replace(last.event, degraded=(*last.event.degraded, UNKEPT))
        return [*batch[:-1], Entry(last.id, told)]

    def _corpora(self, principal: Principal, question: Question) -> tuple[CorpusRef, ...]:
        names = question.corpora
        if names is None:
            granted = sorted(principal.corpora - {ANY_CORPUS})
            names = (DEFAULT_CORPUS,) if ANY_CORPUS in principal.corpora else tuple(granted)
        if not names or not all(principal.may_read(name) for name in names):
            raise Forbidden("a corpus is not granted")
        return tuple(CorpusRef(principal.tenant, name) for name in sorted(set(names)))

    async def _variant(self, question: Question) -> Variant:
        """How it is answered: by the model that is asked for, under its name in the pool."""
        offered = await self.pool.models()
        model = QUOTING
        if asked := question.model or self.default_model:
            name = named(asked, offered)
            if question.model and offered and name is None:
                raise ModelNotOffered("no model server offers this model")
            model = name or asked
        elif offered:
            model = offered[0].info.name
        digest = ",".join(digest for one in offered if one.info.name == model for digest in one.digests)
        return Variant(
            model, digest, PROMPT_VERSION, self._sampling(question), self.retrieval, self.context_tokens
        )

    def _sampling(self, question: Question) -> Sampling:
        chat = self.chat
        temperature = chat.temperature if question.temperature is None else question.temperature
        return Sampling(
            float(temperature) + 0.0,  # -0.0 and 0.0 are one temperature
            min(question.max_tokens or chat.max_tokens, chat.max_tokens),
            question.thinking,
        )


def _started(run: Run, batch: Sequence[Entry]) -> Sequence[Entry]:
    """The batch, with the run's own first event in the place of the answer's origin."""
    first = batch[0].event
    assert isinstance(first, Origin), "the first entry of every log"
    return [Entry(START, run.started(first)), *batch[1:]]
