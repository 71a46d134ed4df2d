"""Conversations in SQLite or PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.core.clock import Clock
from backend.core.errors import Conflict, NotFound
from backend.core.events import Source
from backend.history.base import Conversation, Owner, Rating, Turn, TurnState
from backend.history.tables import conversations, turns
from backend.history.titles import title_of
from backend.history.writes import GroupCommit
from backend.infra.sql import storable, transaction

_NO_CONVERSATION = "no such conversation"
# Made once: SQLAlchemy takes longer to build and compare a statement than SQLite to run it.
_NEW_CONVERSATION, _NEW_TURN = insert(conversations), insert(turns)


class SqlHistory:
    """The history port over one engine; every write begins with its write, so SQLite never upgrades a lock.

    Args:
        engine: Opened by `infra.sql.open_engine`; its tables exist.
        clock: Dates conversations and turns.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._writes = GroupCommit(engine)
        self._clock = clock

    async def close(self) -> None:
        """Give up writes that are under way."""
        await self._writes.close()

    async def begin(self, owner: Owner, conversation: str | None, run: str, question: str) -> str:
        """Open a turn, in a new conversation if `conversation` is None.

        Raises:
            NotFound: No such conversation of this owner.
            Conflict: The run has a turn already.
            StorageUnavailable
        """
        now = self._clock.now()
        question = storable(question)

        async def opened(connection: AsyncConnection) -> str:
            if conversation is None:
                here = await _create(connection, owner, title_of(question), now)
            else:
                here = await _touch(connection, owner, conversation, now)
            await connection.execute(_NEW_TURN, _opened(here, run, question, now))
            return here

        try:
            return await self._writes.write(opened)
        except IntegrityError as exc:
            raise Conflict("this run has a turn already") from exc

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
        if not runs:
            return
        values = {
            "answer": storable(answer),
            "state": state,
            "sources": [_row_of(source) for source in sources],
            "citations": list(citations),
            "degraded": list(degraded),
        }
        open_turns = and_(turns.c.run.in_(list(runs)), turns.c.state.in_(("running", "failed")))
        change = update(turns).where(open_turns).values(values)

        async def closed(connection: AsyncConnection) -> None:
            await connection.execute(change)

        await self._writes.write(closed)

    async def abandon(self, older_than: float) -> int:
        """Mark as failed the turns begun before `older_than` that still run; returns how many."""
        stale = and_(turns.c.state == "running", turns.c.created < older_than)
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
                raise NotFound(_NO_CONVERSATION)
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
                raise NotFound(_NO_CONVERSATION)

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


async def _create(connection: AsyncConnection, owner: Owner, title: str, now: float) -> str:
    new = secrets.token_urlsafe(16)
    row = {"id": new, "tenant": owner.tenant, "subject": owner.subject, "title": title}
    await connection.execute(_NEW_CONVERSATION, row | {"created": now, "updated": now})
    return new


async def _touch(connection: AsyncConnection, owner: Owner, conversation: str, now: float) -> str:
    mine = and_(_owner_is(owner), conversations.c.id == storable(conversation))
    if not (await connection.execute(update(conversations).where(mine).values(updated=now))).rowcount:
        raise NotFound(_NO_CONVERSATION)
    return conversation


def _opened(conversation: str, run: str, question: str, now: float) -> dict[str, Any]:
    empty: dict[str, Any] = {"answer": "", "sources": [], "citations": [], "degraded": []}
    turn = {"conversation": conversation, "run": run, "question": question, "created": now}
    return empty | turn | {"state": "running"}


def _row_of(source: Source) -> dict[str, Any]:
    return {name: getattr(source, name) for name in Source.__slots__}  # `asdict` takes five times as long


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
