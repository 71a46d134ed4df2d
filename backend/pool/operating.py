"""What an operator does to the instances takes effect here at once, elsewhere within a second."""

from __future__ import annotations

from dataclasses import dataclass

from backend.pool.keeper import Keeper
from backend.pool.roster import Roster


@dataclass(frozen=True, slots=True)
class PoolOperator:
    """A `Roster` whose changes the slots are told of; implements `Operator`."""

    roster: Roster
    keeper: Keeper

    async def add(self, id: str, *, url: str, engine: str, slots: int) -> None:
        """See `Operator.add`."""
        await self.roster.add(id, url=url, engine=engine, slots=slots)
        await self.keeper.welcome(id)

    async def drain(self, id: str) -> None:
        """See `Operator.drain`."""
        await self.roster.drain(id)
        await self.keeper.refresh()

    async def resume(self, id: str) -> None:
        """See `Operator.resume`."""
        await self.roster.resume(id)
        await self.keeper.refresh()

    async def remove(self, id: str) -> None:
        """See `Operator.remove`."""
        await self.roster.remove(id)
        await self.keeper.refresh()
