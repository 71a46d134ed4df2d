"""Looks after the instances: what they hold, whether they are well, which model has to be loaded where."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from backend.core.aio import Background, to_the_end
from backend.core.clock import Clock
from backend.core.errors import EngineError, SlotsUnavailable
from backend.core.types import Message, Sampling
from backend.engines.base import Bounds, End, GenerationRequest
from backend.pool.base import Instance
from backend.pool.board.base import Board, Note
from backend.pool.choose import Facts
from backend.pool.health import Health, failed, from_json, succeeded, to_json
from backend.pool.looking import facts, look, measured, noted, used
from backend.pool.placement import Load, loads
from backend.pool.roster import Roster
from backend.pool.rows import Known, rows
from backend.pool.slots.base import Row, Slots, View

log = logging.getLogger(__name__)

HEALTH, SEEN, LOADING = "health", "seen", "loading"
_SPEED_EVERY_S = 5.0
_LOAD_S = 5.0
"""How long a load is thought to take before one was seen."""
_LOAD_AGAIN_S = 2.0
"""A model that failed to load is left alone at least so long: who waited for it is told in that time."""
_TOLD_NAMES, _TOLD_CHARS = 5, 80
_DECIDES_S = 5.0
"""How long one process decides what is loaded; then another may."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the keeper does what, in seconds.

    Attributes:
        tick_s: Between two rounds.
        look_s: Between two looks at an instance, by whichever process.
        look_timeout_s: Longest look.
        quarantine_s: First time that an instance which failed is avoided.
        load_s: Longest load of a model.
        probe: How long a probe may take; it is one token.
    """

    tick_s: float = 0.5
    look_s: float = 5.0
    look_timeout_s: float = 2.0
    quarantine_s: float = 30.0
    load_s: float = 300.0
    probe: Bounds = field(default_factory=lambda: Bounds(2.0, 20.0, 10.0))


class Keeper:
    """Watches over all instances, together with the keepers of other processes.

    What one learns is on the board, and each task is led by one process at a time: a look, a probe, a load.

    Attributes:
        view: The slots as they were at the last round.
    """

    def __init__(
        self, roster: Roster, slots: Slots, board: Board, clock: Clock, *, pace: Pace | None = None
    ) -> None:
        self.view = View()
        self._roster = roster
        self._slots = slots
        self._board = board
        self._clock = clock
        self._pace = pace or Pace()
        self._rng = Random()  # noqa: S311  jitter, not secrets
        self._health: dict[str, Health] = {}
        self._seen: dict[str, Note] = {}
        self._loading: dict[str, Note] = {}
        self._published: Mapping[str, Row] = {}
        self._publishing = asyncio.Lock()
        self._speed_told: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        self._left_out: dict[str, tuple[str, ...]] = {}
        self._using: dict[tuple[str, str], float] = {}
        self._in_use: Counter[tuple[str, str]] = Counter()
        self._work = Background()
        self._busy: set[str] = set()

    async def open(self) -> None:
        """Look at every instance once, so that the first question finds them."""
        await self._read()
        await asyncio.gather(*(self._look(one) for one in self._instances().values()))
        await self._publish()

    async def welcome(self, id: str) -> None:
        """Look at an instance that was just added; what was known of one of that name is void."""
        for kind in (HEALTH, SEEN, LOADING):
            await self._board.change(kind, id, lambda _: None)
        await self._read()
        if one := self._instances().get(id):
            await self._look(one)
        await self._publish()

    async def close(self) -> None:
        """End what is under way."""
        await self._work.close()

    async def run(self) -> None:
        """Rounds for ever."""
        while True:
            try:
                await self.tick()
            except SlotsUnavailable:
                log.warning("a round of the pool is left out: its store does not answer")
            except Exception:
                log.exception("a round of the pool failed")
            await asyncio.sleep(self._pace.tick_s)

    async def tick(self) -> None:
        """One round: take in what others learnt, start what is due, tell the slots.

        The rows are read before what they follow from: a change that another process makes meanwhile is then
        either known here, or not undone.
        """
        self.view = await self._slots.view()
        self._published = self.view.rows
        await self._read()
        for id, one in self._instances().items():
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
        return {id: self._known(id, one) for id, one in self._instances().items()}

    def facts(self, model: str) -> dict[str, Facts]:
        """What those instances say of themselves that may hold `model`."""
        found = {id: facts(self._seen.get(id)) for id in self._instances()}
        return {id: one for id, one in found.items() if one.loaded is None or model in one.loaded}

    def note(self, id: str) -> Note | None:
        """What was seen of an instance, as it is on the board."""
        return self._seen.get(id)

    async def failed(self, id: str, error: EngineError, *, began: float | None = None) -> None:
        """A generation begun at `began` (wall clock; None: now) failed there; the slots know at once."""
        health = await self._change_health(
            id,
            lambda health: failed(
                health,
                error,
                self._clock.now(),
                quarantine_s=self._pace.quarantine_s,
                random=self._rng.random(),
                began=began,
            ),
        )
        state = health.state(self._clock.now())
        log.warning("an instance failed", extra={"instance": id, "code": error.code, "state": state})
        await self._publish()

    @contextmanager
    def using(self, id: str, model: str) -> Iterator[None]:
        """A generation of `model` runs there while inside."""
        self._using.setdefault((id, model), -_SPEED_EVERY_S)
        self._in_use[id, model] += 1
        try:
            yield
        finally:
            self._in_use[id, model] -= 1

    async def succeeded(self, id: str, tokens_per_s: float | None, *, began: float) -> None:
        """A generation that began at `began` came to its end there, at this speed of its stream."""
        health = self._health.get(id, Health())
        if health.failures or health.open_until is not None:
            await self._change_health(id, partial(succeeded, began=began))
            await self._publish()
        now = self._clock.monotonic()
        if tokens_per_s and now - self._speed_told.get(id, -_SPEED_EVERY_S) >= _SPEED_EVERY_S:
            self._speed_told[id] = now
            note = await self._board.change(SEEN, id, lambda note: measured(note, tokens_per_s))
            self._seen[id] = note or {}

    async def refresh(self) -> None:
        """Take in what an operator changed, and tell the slots."""
        await self._read()
        await self._publish()

    def _instances(self) -> Mapping[str, Instance]:
        return self._roster.instances

    def _known(self, id: str, one: Instance) -> Known:
        loading, seen = self._loading.get(id) or {}, self._seen.get(id)
        return Known(
            slots=one.slots,
            models=one.models,
            draining=id in self._roster.draining,
            health=self._health.get(id, Health()),
            facts=facts(seen),
            loading=loading.get("model"),
            evicts=frozenset(loading.get("evicts", ())),
            models_at_once=one.models_at_once,
            last_loaded_at=loading.get("ended_at"),
            load_s=loading.get("took_s", _LOAD_S),
            used_at=(seen or {}).get("used_at", {}),
            unloadable_until=loading.get("failed", {}),
        )

    async def _read(self) -> None:
        await self._roster.read()
        self._health = {id: from_json(note) for id, note in (await self._board.read(HEALTH)).items()}
        self._seen = await self._board.read(SEEN)
        self._loading = await self._board.read(LOADING)
        await self._forget_lost_loads()

    async def _forget_lost_loads(self) -> None:
        """A process that died while it had a model loaded leaves its note behind."""
        for id, note in list(self._loading.items()):
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
        health = self._health.get(id, Health())
        state = health.state(self._clock.now())
        if state == "half_open" and await self._board.lead(f"probe:{id}", self._pace.probe.first_token_s):
            self._start(f"probe:{id}", self._probe(id, one))
        elif self._is_due(id) and await self._board.lead(f"look:{id}", self._pace.look_s):
            if state == "closed":
                self._start(f"look:{id}", self._look(one))
            elif health.refused and not health.hangs:
                self._start(f"probe:{id}", self._knock(id, one))

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
        if seen.dead is not None:
            await self.failed(one.id, seen.dead)
            return
        self._tell_left_out(one.id, seen.left_out)
        self._seen[one.id] = await self._board.change(SEEN, one.id, lambda note: noted(note, seen)) or {}
        await self._publish()

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
        if (await look(one, self._pace.look_timeout_s)).models is not None:
            await self._probe(id, one)

    async def _probe(self, id: str, one: Instance) -> None:
        """One token, from what it holds if it can be; the only thing that proves an instance well again."""
        known = facts(self._seen.get(id))
        names = sorted(one.models) or list(known.models or ())
        held = [name for name in names if name in (known.loaded or ())]
        try:
            if names:
                await self._one_token(one, (held or names)[0])
            else:
                await one.engine.models(one.endpoint)
        except EngineError as exc:
            await self.failed(id, exc)
        else:
            await self._change_health(id, succeeded)
            await self._publish()
        if self._health.get(id, Health()).open_until is None:
            log.info("an instance is well again", extra={"instance": id})
            await self._look(one)

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
            ended["failed"] = {**self._loading.get(id, {}).get("failed", {}), load.model: failed_until}
        finally:
            await self._look(one)
            await to_the_end(self._note_load(id, **ended, ended_at=self._clock.now()))

    async def _note_load(self, id: str, **changes: Any) -> None:
        note = await self._board.change(LOADING, id, lambda note: {**(note or {}), **changes})
        self._loading[id] = note or {}
        await self._publish()

    async def _note_use(self) -> None:
        """Keep on the board which models are in use where, every few seconds."""
        now = self._clock.monotonic()
        for (id, model), told in list(self._using.items()):
            if now - told >= _SPEED_EVERY_S and self._in_use[id, model]:
                self._using[id, model] = now
                at = self._clock.now()
                self._seen[id] = await self._board.change(SEEN, id, partial(used, model=model, now=at)) or {}

    async def _change_health(self, id: str, change: Callable[[Health], Health]) -> Health:
        def changed(note: Note | None) -> Note | None:
            health = change(from_json(note or {}))
            return None if health == Health() else to_json(health)

        health = from_json(await self._board.change(HEALTH, id, changed) or {})
        self._health[id] = health
        return health
