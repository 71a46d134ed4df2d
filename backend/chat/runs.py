"""One reader's request: start it, follow it from any event, stop it, rate it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from backend.cache.keys import AnswerKey, variant_id
from backend.chat.base import (
    CLOSING_S,
    UNKEPT,
    Idempotency,
    Producer,
    Question,
    RequestRecord,
    Run,
    RunStore,
    earlier,
)
from backend.chat.openings import Openings
from backend.chat.prompt import PROMPT_VERSION
from backend.chat.standalone import standalone
from backend.chat.transcript import Followed, Transcript, state_of
from backend.config import Chat
from backend.core.clock import Clock
from backend.core.errors import Forbidden, ModelNotOffered, StorageFull, StorageUnavailable, TooLarge
from backend.core.events import Done, Started, Terminal
from backend.core.model_names import QUOTING
from backend.core.types import ANY_CORPUS, DEFAULT_CORPUS, CacheState, Language, Principal, Sampling
from backend.corpus.base import Catalogue, CorpusRef
from backend.generations.base import START, Entry, EntryId, GenerationId, GenerationLog
from backend.history.base import History, Owner, Rating
from backend.pool.base import Pool
from backend.pool.model_list import named
from backend.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The use cases around a run. Every call takes the principal: another's run does not exist.

    Args:
        detect: Language of a text, given a default for what is too short to tell.
        settings_in_key: Retrieval settings an answer depends on.
    """

    store: RunStore
    producer: Producer
    generations: GenerationLog
    history: History
    openings: Openings
    catalogue: Catalogue
    pool: Pool
    metrics: Metrics
    clock: Clock
    detect: Callable[[str], Language]
    chat: Chat
    default_model: str
    settings_in_key: tuple[object, ...]

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
        owner = Owner(principal.tenant, principal.subject)
        if len(question.text) > self.chat.max_question_chars:
            raise TooLarge(f"a question has at most {self.chat.max_question_chars} characters")
        corpora = self._corpora(principal, question)
        run_id = uuid4().hex
        if earlier_run := await self.store.claim(owner, run_id, idempotency):
            await self.generations.has_ended(earlier_run.generation)
            return earlier_run
        try:
            run = await self._open(run_id, owner, corpora, question)
        except BaseException:
            await self.store.release(owner, run_id, idempotency)
            raise
        await self.store.put(run)
        return run

    async def _open(
        self, run_id: str, owner: Owner, corpora: tuple[CorpusRef, ...], question: Question
    ) -> Run:
        before, all_read = await self.openings.earlier(owner, question.conversation)
        turns = [turn for turn in before if turn.state in ("done", "stopped")]
        model = await self._model(question.model)
        language = question.language or self.detect(question.text)
        sampling = self._sampling(question)
        said = earlier([(turn.question, turn.answer) for turn in turns])
        variant = variant_id(
            model=model, prompt_version=PROMPT_VERSION, sampling=sampling, settings=self.settings_in_key
        )
        versions = tuple([(ref.name, (await self.catalogue.live(ref)).version) for ref in corpora])
        key = AnswerKey(owner.tenant, variant, versions, language, question.text, said)
        joined = await self.generations.start_or_join(key.digest())
        await self.generations.attach(joined.generation, run_id)
        if joined.began:
            now = self.clock.monotonic()
            self.producer.start(
                RequestRecord(
                    generation=joined.generation,
                    run=run_id,
                    owner=owner,
                    corpora=corpora,
                    question=question.text,
                    standalone=standalone(question.text, [turn.question for turn in turns], language),
                    language=language,
                    history=said,
                    model=model,
                    sampling=sampling,
                    began=now,
                    deadline=now + self.chat.deadline_s,
                )
            )
        else:
            self.metrics.joined()
        cache: CacheState = "miss" if joined.began else "joined"
        conversation, kept = await self._opened_turn(owner, question, run_id, joined.generation)
        started = Started(run_id, conversation, model, variant, cache)
        return Run(run_id, owner, joined.generation, started, unsure=not (all_read and kept))

    async def get(self, principal: Principal, run_id: str) -> Run:
        """The run.

        Raises:
            NotFound: No such run of this principal, or no longer kept.
        """
        run = await self.store.get(Owner(principal.tenant, principal.subject), run_id)
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
    ) -> AsyncGenerator[Followed, None]:
        """Events of a run after `after`, as they come, up to exactly one terminal one.

        Raises:
            NotFound: The log is gone.
        """
        terminal = False
        log = self.generations.follow(run.generation, after, run=run.id, idle_s=idle_s)
        async with aclosing(log) as batches:
            async for batch in batches:
                terminal = bool(batch) and isinstance(batch[-1].event, Terminal)
                yield Followed(await self._honest(run, batch) if terminal and run.unsure else batch)
        if not terminal:
            yield Followed((), Done("stopped"))

    async def stop(self, principal: Principal, run_id: str) -> None:
        """Stop a run; its generation too, if no other run wants it. Stopping twice is no error.

        Raises:
            NotFound: No such run of this principal.
        """
        run = await self.get(principal, run_id)
        if await self.generations.has_ended(run.generation):
            return
        if await self.generations.leave(run.generation, run.id):
            await self._close_turn(run.id, run.generation)
        else:
            self.producer.stop(run.generation)

    async def rate(self, principal: Principal, run_id: str, rating: Rating, reason: str) -> None:
        """Keep what the reader thinks of an answer.

        Raises:
            NotFound, StorageUnavailable
        """
        await self.history.rate(Owner(principal.tenant, principal.subject), run_id, rating, reason)

    async def _opened_turn(
        self, owner: Owner, question: Question, run_id: str, generation: GenerationId
    ) -> tuple[str, bool]:
        """Open the turn while the answer is being made; the conversation's id, and whether it is kept."""
        try:
            return await self.openings.open(
                owner, question.conversation, run_id, question.text, partial(self._closed, run_id, generation)
            )
        except BaseException:
            if not await self.generations.leave(generation, run_id):
                self.producer.stop(generation)
            raise

    async def _closed(self, run_id: str, generation: GenerationId) -> None:
        """Close a turn that was opened while its answer ended, perhaps too late for its producer to see."""
        if not await self.generations.is_open(generation):
            await self._close_turn(run_id, generation)

    async def _honest(self, run: Run, batch: Sequence[Entry]) -> Sequence[Entry]:
        """The batch, whose last event says whether the turn is missing from the conversation."""
        last = batch[-1]
        if not isinstance(last.event, Done) or UNKEPT in last.event.degraded:
            return batch
        if await self.openings.is_kept(run.owner, run.started.conversation_id, run.id):
            return batch
        told = replace(last.event, degraded=(*last.event.degraded, UNKEPT))
        return [*batch[:-1], Entry(last.id, told)]

    async def _close_turn(self, run_id: str, generation: GenerationId) -> None:
        """Keep what the run has been shown, once it has ended; a turn closed already stays as it is."""
        shown = Transcript()
        async with aclosing(self.generations.follow(generation, run=run_id)) as batches:
            async for batch in batches:
                shown.add(Followed(batch))
        with suppress(StorageUnavailable, StorageFull, TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self.history.finish(
                    [run_id],
                    answer=shown.answer,
                    state=state_of(shown.terminal or Done("stopped")),
                    sources=shown.sources,
                    citations=shown.terminal.citations if isinstance(shown.terminal, Done) else (),
                    degraded=shown.degraded,
                )

    def _corpora(self, principal: Principal, question: Question) -> tuple[CorpusRef, ...]:
        names = question.corpora
        if names is None:
            granted = sorted(principal.corpora - {ANY_CORPUS})
            names = (DEFAULT_CORPUS,) if ANY_CORPUS in principal.corpora else tuple(granted)
        if not names or not all(principal.may_read(name) for name in names):
            raise Forbidden("a corpus is not granted")
        return tuple(CorpusRef(principal.tenant, name) for name in sorted(set(names)))

    async def _model(self, wanted: str | None) -> str:
        """The model that is asked for, by its name in the pool."""
        offered = await self.pool.models()
        if asked := wanted or self.default_model:
            name = named(asked, offered)
            if wanted and offered and name is None:
                raise ModelNotOffered("no model server offers this model")
            return name or asked
        return offered[0].info.name if offered else QUOTING

    def _sampling(self, question: Question) -> Sampling:
        chat = self.chat
        temperature = chat.temperature if question.temperature is None else question.temperature
        return Sampling(
            temperature, min(question.max_tokens or chat.max_tokens, chat.max_tokens), question.thinking
        )
