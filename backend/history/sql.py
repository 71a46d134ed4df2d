"""Conversations in SQLite or PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core.clock import Clock
from backend.core.errors import Conflict, NotFound
from backend.core.events import Source
from backend.core.text import storable
from backend.history.base import TAKEN, Conversation, Owner, Rating, Turn, TurnState
from backend.history.group_commit import GroupCommit
from backend.history.tables import conversations, processes, turns
from backend.history.titles import title_of
from backend.history.turn_writes import NO_CONVERSATION, Closing, Opening, carry
from backend.infra.sql import transaction


class SqlHistory:
    """The history port over one engine; every write begins with its write, so SQLite never upgrades a lock.

    Turns are opened and closed in groups.

    Args:
        engine: Opened by `infra.sql.open_engine`; its tables exist.
        clock: Dates conversations and turns.
        process: Whose turns these are; see `Presence`.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, *, process: str = "") -> None:
        self._engine = engine
        self._turns: GroupCommit[Opening | Closing] = GroupCommit(engine, carry)
        self._clock = clock
        self._process = process

    async def close(self) -> None:
        """Give up writes that are under way."""
        await self._turns.close()

    async def begin(
        self, owner: Owner, conversation: str | None, run: str, question: str, named: str = ""
    ) -> str:
        """Open a turn, in a new conversation if `conversation` is None.

        Raises:
            NotFound: No such conversation of this owner.
            Conflict: The run has a turn already, or `named` is another's.
            StorageUnavailable
        """
        question = storable(question)
        here = storable(conversation or named) or secrets.token_urlsafe(16)
        title = title_of(question) if conversation is None else None
        opening = Opening(owner, here, title, run, question, self._clock.now(), self._process)
        try:
            await self._turns.make(opening)
        except IntegrityError as exc:
            if title is None:
                raise Conflict(TAKEN) from exc
            await self._open_in_what_is_there(opening)
        return here

    async def _open_in_what_is_there(self, opening: Opening) -> None:
        """What was to be new has been begun, by another turn or by an attempt that nobody heard of."""
        try:
            await self._turns.make(replace(opening, title=None))
        except (IntegrityError, NotFound) as exc:
            raise Conflict(TAKEN) from exc

    async def finish(
        self,
        runs: Sequence[str],
        *,
        answer: str,
        state: TurnState,
        sources: Sequence[Source],
        citations: Sequence[int],
        degraded: Sequence[str],
    ) -> None:
        """Close the turns of these runs that are running or were given up; others stay as they are."""
        if runs:
            await self._turns.make(Closing(runs, storable(answer), state, sources, citations, degraded))

    async def abandon(self, older_than: float) -> int:
        """Mark as failed the turns of dead processes, begun before `older_than`; returns how many."""
        alive = select(processes.c.id).where(processes.c.expires > self._clock.now())
        stale = and_(turns.c.state == "running", turns.c.created < older_than, turns.c.process.not_in(alive))
        async with transaction(self._engine) as connection:
            result = await connection.execute(update(turns).where(stale).values(state="failed"))
        return result.rowcount

    async def turns(self, owner: Owner, conversation: str, *, last: int = 50) -> Sequence[Turn]:
        """The newest `last` turns, oldest first."""
        newest = (
            select(turns)
            .where(turns.c.conversation == storable(conversation))
            .order_by(turns.c.place.desc())
            .limit(last)
        )
        async with transaction(self._engine) as connection:
            if (await connection.execute(_owned(owner, conversation))).first() is None:
                raise NotFound(NO_CONVERSATION)
            rows = (await connection.execute(newest)).all()
        return [_turn(row) for row in reversed(rows)]

    async def conversations(
        self, owner: Owner, *, before: float | None = None, limit: int = 50
    ) -> Sequence[Conversation]:
        """The owner's conversations, latest first."""
        query = select(conversations).where(_owner_is(owner))
        if before is not None:
            query = query.where(conversations.c.updated < before)
        query = query.order_by(conversations.c.updated.desc(), conversations.c.id).limit(limit)
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(query)).all()
        return [Conversation(row.id, row.title, row.created, row.updated) for row in rows]

    async def delete(self, owner: Owner, conversation: str) -> None:
        """Remove a conversation; its turns and ratings go with it."""
        mine = and_(_owner_is(owner), conversations.c.id == storable(conversation))
        async with transaction(self._engine) as connection:
            if not (await connection.execute(delete(conversations).where(mine))).rowcount:
                raise NotFound(NO_CONVERSATION)

    async def rate(self, owner: Owner, run: str, rating: Rating, reason: str) -> None:
        """Keep the owner's latest opinion of a run."""
        mine = turns.c.conversation.in_(select(conversations.c.id).where(_owner_is(owner)))
        values = {"rating": rating, "reason": storable(reason), "rated": self._clock.now()}
        change = update(turns).where(turns.c.run == storable(run), mine).values(values)
        async with transaction(self._engine) as connection:
            if not (await connection.execute(change)).rowcount:
                raise NotFound("no such run")


def _owner_is(owner: Owner) -> ColumnElement[bool]:
    return and_(conversations.c.tenant == owner.tenant, conversations.c.subject == owner.subject)


def _owned(owner: Owner, conversation: str) -> Select[tuple[str]]:
    return select(conversations.c.id).where(_owner_is(owner), conversations.c.id == storable(conversation))


def _turn(row: Row[Any]) -> Turn:
    return Turn(
        run=row.run,
        question=row.question,
        answer=row.answer,
        state=row.state,
        sources=tuple(Source(**source) for source in row.sources),
        citations=tuple(row.citations),
        degraded=tuple(row.degraded),
        created=row.created,
    )
