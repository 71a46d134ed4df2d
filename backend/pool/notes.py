"""What all processes know of the instances, as this one last read it: the board, in the rules' terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from backend.core.clock import Clock
from backend.pool.barred import Bar, Bars, in_force
from backend.pool.barred import from_json as bars_from
from backend.pool.barred import to_json as bars_to
from backend.pool.base import Instance, OfferedModel
from backend.pool.board.base import Board, Change, Note
from backend.pool.choose import Facts
from backend.pool.health import Health, from_json, to_json
from backend.pool.looking import Called, facts, listed, offered
from backend.pool.names import Names, names_of
from backend.pool.offered import merged
from backend.pool.roster import Roster
from backend.pool.rows import Known

HEALTH, SEEN, LOADING, BARRED = "health", "seen", "loading", "barred"
_LOAD_S = 5.0
"""How long a load is thought to take before one was seen."""


class Notes:
    """One process's reading of the board; what it changes is there for all.

    Attributes:
        seen: What each instance said of itself, and what was measured of it.
        loading: What is being loaded there, and how loads went.
        names: What the models are called.
    """

    def __init__(self, roster: Roster, board: Board, clock: Clock) -> None:
        self.seen: dict[str, Note] = {}
        self.loading: dict[str, Note] = {}
        self.names = Names()
        self._roster = roster
        self._board = board
        self._clock = clock
        self._health: dict[str, Health] = {}
        self._barred: dict[str, dict[str, Bar]] = {}

    async def read(self) -> None:
        """Take in what others changed."""
        await self._roster.read()
        self._health = {id: from_json(note) for id, note in (await self._board.read(HEALTH)).items()}
        self.seen = await self._board.read(SEEN)
        self.loading = await self._board.read(LOADING)
        self._barred = {id: bars_from(note) for id, note in (await self._board.read(BARRED)).items()}
        self._name()

    async def forget(self, id: str) -> None:
        """What is known of an instance of that name is void."""
        for kind in (HEALTH, SEEN, LOADING, BARRED):
            await self._board.change(kind, id, lambda _: None)

    def instances(self) -> Mapping[str, Instance]:
        """Every instance by its id, in a stable order."""
        return self._roster.instances

    def health(self, id: str) -> Health:
        """How an instance is."""
        return self._health.get(id, Health())

    def bars(self, id: str) -> dict[str, Bar]:
        """Models that an instance lists and does not serve, or did not lately."""
        return self._barred.get(id, {})

    def barred(self, id: str) -> dict[str, Bar]:
        """Those that it does not serve now."""
        return in_force(self.bars(id), self._clock.now())

    def facts(self, one: Instance) -> Facts:
        """What an instance says of itself."""
        return facts(self.seen.get(one.id), self._called(one))

    def known(self, id: str) -> Known:
        """What the rules need to know of an instance."""
        one, loading = self._roster.instances[id], self.loading.get(id) or {}
        return Known(
            slots=one.slots,
            models=one.models,
            draining=id in self._roster.draining,
            health=self.health(id),
            facts=self.facts(one),
            loading=loading.get("model"),
            evicts=frozenset(loading.get("evicts", ())),
            models_at_once=one.models_at_once,
            last_loaded_at=loading.get("ended_at"),
            load_s=loading.get("took_s", _LOAD_S),
            used_at=(self.seen.get(id) or {}).get("used_at", {}),
            unloadable_until=loading.get("failed", {}),
            barred=frozenset(self.barred(id)),
        )

    def offers(self) -> tuple[OfferedModel, ...]:
        """What the instances offer that are not avoided, every name once."""
        now = self._clock.now()
        return merged(
            [model for model in self._offered(one) if model.info.name not in self.barred(id)]
            for id, one in self.instances().items()
            if self.health(id).state(now) != "open"
        )

    async def change_health(self, id: str, change: Callable[[Health], Health]) -> Health:
        """The health of an instance after `change`, which may be called more than once."""

        def changed(note: Note | None) -> Note | None:
            health = change(from_json(note or {}))
            return None if health == Health() else to_json(health)

        self._health[id] = from_json(await self._board.change(HEALTH, id, changed) or {})
        return self._health[id]

    async def change_bars(self, id: str, change: Callable[[Bars], Bars]) -> None:
        """Bar models of an instance, or let them be asked for again."""

        def changed(note: Note | None) -> Note | None:
            return bars_to(change(bars_from(note or {}))) or None

        self._barred[id] = bars_from(await self._board.change(BARRED, id, changed) or {})

    async def change_seen(self, id: str, change: Change) -> None:
        """Note what was seen of an instance."""
        self.seen[id] = await self._board.change(SEEN, id, change) or {}
        self._name()

    async def change_loading(self, id: str, **changes: Any) -> None:
        """Note what becomes of a load."""
        note = await self._board.change(LOADING, id, lambda note: {**(note or {}), **changes})
        self.loading[id] = note or {}

    def _offered(self, one: Instance) -> tuple[OfferedModel, ...]:
        return offered(one, self.seen.get(one.id), self._called(one))

    def _called(self, one: Instance) -> Called:
        return partial(self.names.of_all, loose=one.loose_names)

    def _name(self) -> None:
        """Draw up the names of all models anew."""
        listings = [(one.loose_names, listed(self.seen.get(id))) for id, one in self.instances().items()]
        self.names = names_of(listings)
