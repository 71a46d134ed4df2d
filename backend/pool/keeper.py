"""Looks after the instances: what they hold, whether they are well, which model has to be loaded where."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from typing import Any

from backend.core.aio import Background, to_the_end
from backend.core.clock import Clock
from backend.core.errors import EngineError, EngineRefused, EngineTimeout, ModelMissing, SlotsUnavailable
from backend.core.types import Message, Sampling
from backend.engines.base import Bounds, End, GenerationRequest
from backend.pool.barred import Bar, barred
from backend.pool.base import Instance, OfferedModel
from backend.pool.board.base import Board, Note
from backend.pool.choose import Facts
from backend.pool.contexts import Contexts
from backend.pool.health import failed, succeeded
from backend.pool.looking import look, measured, noted, used
from backend.pool.notes import Notes
from backend.pool.placement import Load, loads
from backend.pool.roster import Roster
from backend.pool.rows import Known, rows
from backend.pool.slots.base import Row, Slots, View
from backend.pool.streams import CanGo, Stream, Streams

log = logging.getLogger(__name__)

_SPEED_EVERY_S = 5.0
_LOAD_AGAIN_S = 2.0
"""A model that failed to load is left alone at least so long: who waited for it is told in that time."""
_TOLD_NAMES, _TOLD_CHARS = 5, 80
_DECIDES_S = 5.0
"""How long one process decides what is loaded; then another may."""
_TRUSTED_S = 30.0
"""For so long after an instance served us, a list of models that it refuses is not held against it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the keeper does what, in seconds.

    Attributes:
        tick_s: Between two rounds.
        look_s: Between two looks at an instance, by whichever process.
        look_timeout_s: Longest look.
        quarantine_s: First time that an instance which failed is avoided.
        load_s: Longest load of a model.
        least_gap_s: No stream is given up after a shorter silence.
        watch_s: Between two looks at who is silent.
        probe: How long a probe may take; it is one token.
    """

    tick_s: float = 0.5
    look_s: float = 5.0
    look_timeout_s: float = 2.0
    quarantine_s: float = 30.0
    load_s: float = 300.0
    least_gap_s: float = 5.0
    watch_s: float = 0.25
    probe: Bounds = field(default_factory=lambda: Bounds(2.0, 20.0, 10.0))


class Keeper:
    """Watches over all instances, together with the keepers of other processes.

    What one learns is on the board, and each task is led by one process at a time: a look, a probe, a load.

    Args:
        default_model: What a server is tried with that does not say what it has; "" for nothing.

    Attributes:
        view: The slots as they were at the last round.
        contexts: How long a prompt and its answer may be where.
    """

    def __init__(
        self,
        roster: Roster,
        slots: Slots,
        board: Board,
        clock: Clock,
        *,
        pace: Pace | None = None,
        default_model: str = "",
        contexts: Contexts | None = None,
    ) -> None:
        self.view = View()
        self.contexts = contexts or Contexts()
        self._notes = Notes(roster, board, clock)
        self._slots = slots
        self._board = board
        self._clock = clock
        self._pace = pace or Pace()
        self._default_model = default_model
        self._rng = Random()  # noqa: S311  jitter, not secrets
        self._served: dict[str, float] = {}
        self._published: Mapping[str, Row] = {}
        self._publishing = asyncio.Lock()
        self._speed_told: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        self._left_out: dict[str, tuple[str, ...]] = {}
        self._using: dict[tuple[str, str], float] = {}
        self._in_use: Counter[tuple[str, str]] = Counter()
        self._streams = Streams(self._pace.least_gap_s)
        self._work = Background()
        self._busy: set[str] = set()

    async def open(self) -> None:
        """Look at every instance once, so that the first question finds them."""
        await self._read()
        await asyncio.gather(*(self._look(one) for one in self._instances().values()))
        await self._publish()

    async def welcome(self, id: str) -> None:
        """Look at an instance that was just added; what was known of one of that name is void."""
        self._streams.forget(id)
        await self._notes.forget(id)
        await self._read()
        if one := self._instances().get(id):
            await self._look(one)
        await self._publish()

    async def close(self) -> None:
        """End what is under way."""
        await self._work.close()

    async def run(self) -> None:
        """Rounds for ever."""
        self._work.start(self._watching(), name="silent streams")
        while True:
            try:
                await self.tick()
            except SlotsUnavailable:
                log.warning("a round of the pool is left out: its store does not answer")
            except Exception:
                log.exception("a round of the pool failed")
            await asyncio.sleep(self._pace.tick_s)

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(self._pace.watch_s)
            try:
                self.watch()
            except Exception:
                log.exception("silent streams were not looked for")

    def watch(self) -> None:
        """Move the streams of this process that are silent for too long, if they can go elsewhere."""
        self._streams.give_up(self._clock.monotonic(), self._can_go())

    async def tick(self) -> None:
        """One round: take in what others learnt, start what is due, tell the slots.

        The rows are read before what they follow from: a change that another process makes meanwhile is then
        either known here, or not undone.
        """
        self.view = await self._slots.view()
        self._published = self.view.rows
        await self._read()
        for id, one in self._instances().items():
            self._move_silent(id)
            await self._start_due(id, one)
        await self._note_use()
        if any(self.view.waiting.values()) and await self._board.lead("placement", _DECIDES_S):
            for load in loads(self.known(), self.view, self._clock.now(), random=self._rng.random()):
                self._start(f"load:{load.instance}", self._load(load))
        await self._publish()

    def instances(self) -> Mapping[str, Instance]:
        """Every instance by its id, in a stable order."""
        return self._instances()

    def known(self) -> dict[str, Known]:
        """What the rules need to know of each instance."""
        return {id: self._notes.known(id) for id in self._instances()}

    def facts(self, model: str) -> dict[str, Facts]:
        """What those instances say of themselves that may hold `model`."""
        found = {id: self._notes.facts(one) for id, one in self._instances().items()}
        return {id: one for id, one in found.items() if one.loaded is None or model in one.loaded}

    def context_tokens(self, id: str, model: str) -> int | None:
        """The context of `model` there; None if nothing tells."""
        return self.contexts.of(id, model, self._notes.seen.get(id), self._clock.now())

    def refused_context(self, id: str, model: str, tokens: int) -> None:
        """It refused a prompt of `model` as too long, and told its context."""
        self.contexts.refused(id, model, tokens, self._clock.now())

    def could_answer(self, model: str) -> list[str]:
        """Instances that have `model`, in memory or not."""
        return [id for id, row in self._published.items() if row.answers(model) or model in row.cold]

    def note(self, id: str) -> Note | None:
        """What was seen of an instance, as it is on the board."""
        return self._notes.seen.get(id)

    def name(self, model: str) -> str:
        """What a model is called in the pool that somebody asks for as `model`."""
        return self._notes.names.of(model)

    def offers(self) -> tuple[OfferedModel, ...]:
        """What the instances offer that are not avoided, every name once."""
        return self._notes.offers()

    def barred(self, id: str) -> dict[str, Bar]:
        """Models that an instance lists and does not serve now."""
        return self._notes.barred(id)

    async def failed(
        self,
        id: str,
        error: EngineError,
        *,
        began: float | None = None,
        model: str = "",
        silent_s: float | None = None,
    ) -> None:
        """A generation of `model` begun at `began` (wall clock; None: now) failed there; all know at once.

        A model that is missing is barred alone, and so is one that was refused alone before. One that is
        silent, for `silent_s` now, loses all requests that have had nothing since.
        """
        refused = isinstance(error, EngineRefused)
        if model and (isinstance(error, ModelMissing) or (refused and model in self._notes.bars(id))):
            await self._bar(id, model, error)
        else:
            await self._ail(id, error, began, model, silent_s)
            self._move_silent(id)
            one = self._instances().get(id)
            if refused and one and len(self._tries(one)) > 1:
                self._start(f"probe:{id}", self._probe(id, one))
        await self._publish()

    @contextmanager
    def using(self, id: str, model: str, *, most_gap_s: float, tried: frozenset[str]) -> Iterator[Stream]:
        """A generation of `model` runs there while inside, for a request that failed on `tried`."""
        self._using.setdefault((id, model), -_SPEED_EVERY_S)
        self._in_use[id, model] += 1
        now = self._clock.monotonic()
        try:
            with self._streams.open(id, model, now=now, most_s=most_gap_s, tried=tried) as stream:
                yield stream
        finally:
            self._in_use[id, model] -= 1

    def hears(self, stream: Stream) -> None:
        """A piece of it has come."""
        self._streams.hears(stream, self._clock.monotonic())

    async def succeeded(self, id: str, tokens_per_s: float | None, *, began: float, model: str = "") -> None:
        """A generation of `model` begun at `began` came to its end there, at this speed of its stream."""
        self._served[id] = self._clock.monotonic()
        if model in self._notes.bars(id):
            await self._notes.change_bars(id, lambda bars: {m: bar for m, bar in bars.items() if m != model})
            await self._publish()
        health = self._notes.health(id)
        if health.failures or health.open_until is not None:
            await self._notes.change_health(id, partial(succeeded, began=began))
            await self._publish()
        now = self._clock.monotonic()
        if tokens_per_s and now - self._speed_told.get(id, -_SPEED_EVERY_S) >= _SPEED_EVERY_S:
            self._speed_told[id] = now
            await self._notes.change_seen(id, lambda note: measured(note, tokens_per_s))

    async def refresh(self) -> None:
        """Take in what an operator changed, and tell the slots."""
        await self._read()
        await self._publish()

    def _instances(self) -> Mapping[str, Instance]:
        return self._notes.instances()

    async def _read(self) -> None:
        await self._notes.read()
        await self._forget_lost_loads()

    async def _forget_lost_loads(self) -> None:
        """A process that died while it had a model loaded leaves its note behind."""
        for id, note in list(self._notes.loading.items()):
            if (until := note.get("until")) is not None and until < self._clock.now():
                await self._note_load(id, model=None, until=None, ended_at=until)

    async def _publish(self) -> None:
        """Tell the slots what has changed; one at a time, so that none tells what was true before another."""
        async with self._publishing:
            wanted = rows(self.known(), self._clock.now())
            for id in [id for id in self._published if id not in wanted]:
                await self._slots.remove(id)
            for id, row in wanted.items():
                if self._published.get(id) != row:
                    await self._slots.put(id, row)
            self._published = wanted

    async def _start_due(self, id: str, one: Instance) -> None:
        """Look at what is well, and at what refused; probe what may be well again. One process does it."""
        health = self._notes.health(id)
        state = health.state(self._clock.now())
        if state == "half_open" and await self._board.lead(f"probe:{id}", self._pace.probe.first_token_s):
            self._start(f"probe:{id}", self._probe(id, one))
        elif self._is_due(id) and await self._board.lead(f"look:{id}", self._pace.look_s):
            if state == "closed":
                self._start(f"look:{id}", self._look(one))
            elif health.refused and not health.hangs:
                self._start(f"probe:{id}", self._knock(id, one))

    def _move_silent(self, id: str) -> None:
        """What is known to stand still there, by whichever process, loses its requests of this one."""
        health, now = self._notes.health(id), self._clock.now()
        if health.silent_since is None or health.state(now) == "closed":
            return
        since = self._clock.monotonic() - (now - health.silent_since)
        self._streams.move_silent(id, health.hung_model, since=since, can_go=self._can_go())

    def _can_go(self) -> CanGo:
        """Whether another instance that is well would take a request over; looked up when first asked."""

        @cache
        def well() -> dict[str, Row]:
            now = self._clock.now()
            return {id: self._published[id] for id, one in self.known().items()
                    if one.healthy(now) and id in self._published}  # fmt: skip

        def can_go(stream: Stream) -> bool:
            left = well().keys() - {stream.instance} - stream.tried
            return any(well()[id].could_answer(stream.model) for id in left)

        return can_go

    def _is_due(self, id: str) -> bool:
        return self._clock.monotonic() >= self._looked.get(id, -self._pace.look_s) + self._pace.look_s

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside everything else, unless it is being done."""
        if name in self._busy:
            work.close()
            return
        self._busy.add(name)
        self._work.start(work, name=name).add_done_callback(lambda _: self._busy.discard(name))

    async def _look(self, one: Instance) -> None:
        self._looked[one.id] = self._clock.monotonic()
        seen = await look(one, self._pace.look_timeout_s)
        if isinstance(seen.dead, EngineRefused):
            await self._doubt(one, seen.dead)
        elif seen.dead is not None:
            await self.failed(one.id, seen.dead)
        else:
            self._tell_left_out(one.id, seen.left_out)
            asked, now = self.contexts.asked, self._clock.now()
            await self._notes.change_seen(one.id, lambda note: noted(note, seen, asked, now))
            await self._publish()

    async def _doubt(self, one: Instance, refusal: EngineRefused) -> None:
        """Its list is refused; some servers have none and serve all the same: then one token decides."""
        if self._clock.monotonic() - self._served.get(one.id, -_TRUSTED_S) < _TRUSTED_S:
            return
        await self._ail(one.id, refusal, model=self._default_model)
        await self._publish()
        if self._tries(one):
            self._start(f"probe:{one.id}", self._probe(one.id, one))

    def _tell_left_out(self, id: str, names: tuple[str, ...]) -> None:
        """Say once which names of a server are not offered."""
        if names and names != self._left_out.get(id):
            told = [ascii(name[:_TOLD_CHARS]) for name in names[:_TOLD_NAMES]]
            log.warning(
                "models with names that cannot be shown, or that mean something else, are not offered",
                extra={"event": "names_left_out", "instance": id, "names": told, "count": len(names)},
            )
            self._left_out[id] = names

    async def _knock(self, id: str, one: Instance) -> None:
        """See whether a server that refused is back, without waiting for its time: asking costs nothing."""
        self._looked[id] = self._clock.monotonic()
        seen = await look(one, self._pace.look_timeout_s)
        tries = self._tries(one) or [model.name for model in seen.loaded or ()]
        if seen.models is not None or (isinstance(seen.dead, EngineRefused) and tries):
            await self._probe(id, one, tries)

    def _tries(self, one: Instance) -> list[str]:
        """Models to try it with, the first choice first: what it refused, what it holds, else what it has."""
        known, refused_model = self._notes.facts(one), self._notes.health(one.id).refused_model
        names = sorted(one.models) or list(known.models or ())
        held = [name for name in names if name in (known.loaded or ())]
        refused = [refused_model] if refused_model else []
        return list(dict.fromkeys((*refused, *(held or ([] if refused else names[:1])))))

    async def _probe(self, id: str, one: Instance, tries: Sequence[str] = ()) -> None:
        """One token, from what it holds if it can be; the only thing that proves an instance well again."""
        began = self._clock.monotonic()
        try:
            if tries := tries or self._tries(one):
                await self._one_of(one, tries)
            else:
                await one.engine.models(one.endpoint)
        except EngineTimeout as exc:
            silent_s = self._clock.monotonic() - began
            await self._ail(id, exc, model=tries[0] if tries else "", silent_s=silent_s)
            self._move_silent(id)
        except EngineError as exc:
            await self._ail(id, exc, model=self._notes.health(id).refused_model)
        else:
            self._served[id] = self._clock.monotonic()
            await self._notes.change_health(id, succeeded)
        await self._publish()
        if self._notes.health(id).open_until is None:
            log.info("an instance is well again", extra={"instance": id})
            await self._look(one)

    async def _one_of(self, one: Instance, tries: Sequence[str]) -> None:
        """A token of the first model; if only that is refused, it is barred alone."""
        try:
            await self._one_token(one, tries[0])
        except (EngineRefused, ModelMissing) as exc:
            if len(tries) == 1:
                raise
            await self._one_token(one, tries[1])
            await self._bar(one.id, tries[0], exc)

    async def _one_token(self, one: Instance, model: str) -> None:
        request = GenerationRequest(
            model=model,
            messages=(Message("user", "ping"),),
            sampling=Sampling(temperature=0.0, max_tokens=1),
            question="ping",
            passages=(),
            language="en",
            bounds=self._pace.probe,
        )
        async with aclosing(one.engine.generate(one.endpoint, request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, End):
                    return

    async def _load(self, load: Load) -> None:
        """Load a model by a request of its own: a reader who leaves would abort the load."""
        id, one, began = load.instance, self._instances()[load.instance], self._clock.now()
        log.info("a model is loaded", extra={"instance": id, "model": load.model})
        until = began + self._pace.load_s
        await self._note_load(id, model=load.model, evicts=sorted(load.evicts), until=until)
        ended: dict[str, Any] = {"model": None, "until": None}
        try:
            await one.engine.load(one.endpoint, load.model, within_s=self._pace.load_s)
            ended["took_s"] = self._clock.now() - began
        except EngineError as exc:  # which says nothing of its other models: a look tells whether it is dead
            log.warning("a model could not be loaded", extra={"instance": id, "code": exc.code})
            failed_until = self._clock.now() + max(self._pace.quarantine_s, _LOAD_AGAIN_S)
            ended["failed"] = {**self._notes.loading.get(id, {}).get("failed", {}), load.model: failed_until}
            if isinstance(exc, EngineRefused | ModelMissing):
                await self.failed(id, exc, model=load.model)
        finally:
            await self._look(one)
            await to_the_end(self._note_load(id, **ended, ended_at=self._clock.now()))

    async def _note_load(self, id: str, **changes: Any) -> None:
        await self._notes.change_loading(id, **changes)
        await self._publish()

    async def _note_use(self) -> None:
        """Keep on the board which models are in use where, every few seconds."""
        now = self._clock.monotonic()
        for (id, model), told in list(self._using.items()):
            if now - told >= _SPEED_EVERY_S and self._in_use[id, model]:
                self._using[id, model] = now
                at = self._clock.now()
                await self._notes.change_seen(id, partial(used, model=model, now=at))

    async def _ail(
        self,
        id: str,
        error: EngineError,
        began: float | None = None,
        model: str = "",
        silent_s: float | None = None,
    ) -> None:
        """Count a failure against the instance as a whole."""
        silent_since = None if silent_s is None else self._clock.now() - silent_s
        health = await self._notes.change_health(
            id,
            lambda health: failed(
                health,
                error,
                self._clock.now(),
                quarantine_s=self._pace.quarantine_s,
                random=self._rng.random(),
                began=began,
                model=model,
                silent_since=silent_since,
            ),
        )
        state = health.state(self._clock.now())
        log.warning("an instance failed", extra={"instance": id, "code": error.code, "state": state})

    async def _bar(self, id: str, model: str, error: EngineError) -> None:
        now, first_s = self._clock.now(), self._pace.quarantine_s
        await self._notes.change_bars(id, lambda bars: barred(bars, model, error, now, first_s=first_s))
        log.warning(
            "an instance does not serve a model that it lists",
            extra={"instance": id, "code": error.code, "model": model},
        )
