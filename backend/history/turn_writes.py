"""Turns opened and closed, any number of them with the same few statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.core.errors import NotFound
from backend.core.events import Source
from backend.history.base import Owner, TurnState
from backend.history.tables import conversations, turns

NO_CONVERSATION = "no such conversation"

# Made once: SQLAlchemy takes longer to build and compare a statement than SQLite to run it.
_NEW_CONVERSATION, _NEW_TURN = insert(conversations), insert(turns)
_TOUCHED = update(conversations).where(conversations.c.id == bindparam("here"))
# No `in_`: its list cannot stand in a statement that takes many rows.
_OPEN = or_(turns.c.state == "running", turns.c.state == "failed")
_CLOSED = update(turns).where(turns.c.run == bindparam("of"), _OPEN)
_EMPTY: dict[str, Any] = {"answer": "", "state": "running", "sources": [], "citations": [], "degraded": []}


@dataclass(frozen=True, slots=True)
class Opening:
    """A turn to open.

    Attributes:
        title: Of the new conversation; None: the conversation is there already.
        now: Epoch seconds.
        process: That produces the answer; see `Presence`.
    """

    owner: Owner
    conversation: str
    title: str | None
    run: str
    question: str
    now: float
    process: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """Turns to close with one answer; those closed already stay as they are, but for given-up ones."""

    runs: Sequence[str]
    answer: str
    state: TurnState
    sources: Sequence[Source]
    citations: Sequence[int]
    degraded: Sequence[str]


async def carry(connection: AsyncConnection, writes: Sequence[Opening | Closing]) -> None:
    """Make all writes, openings first.

    Raises:
        NotFound: A conversation that is not its owner's.
        IntegrityError: A run that has a turn already.
    """
    openings = [write for write in writes if isinstance(write, Opening)]
    if new := [_conversation(opening) for opening in openings if opening.title is not None]:
        await connection.execute(_NEW_CONVERSATION, new)
    if known := [opening for opening in openings if opening.title is None]:
        await _touch(connection, known)
    if openings:
        await connection.execute(_NEW_TURN, [_turn(opening) for opening in openings])
    if closed := [row for write in writes if isinstance(write, Closing) for row in _ends(write)]:
        await connection.execute(_CLOSED, closed)


async def _touch(connection: AsyncConnection, openings: Sequence[Opening]) -> None:
    # Written before it is read: SQLite does not wait where a reader becomes a writer.
    await connection.execute(_TOUCHED, [{"here": one.conversation, "updated": one.now} for one in openings])
    columns = conversations.c
    query = select(columns.id, columns.tenant, columns.subject)
    found = await connection.execute(query.where(columns.id.in_([one.conversation for one in openings])))
    owners = {row.id: Owner(row.tenant, row.subject) for row in found}
    if any(owners.get(one.conversation) != one.owner for one in openings):
        raise NotFound(NO_CONVERSATION)


def _conversation(opening: Opening) -> dict[str, Any]:
    owner, now = opening.owner, opening.now
    row = {"id": opening.conversation, "tenant": owner.tenant, "subject": owner.subject}
    return row | {"title": opening.title, "created": now, "updated": now}


def _turn(opening: Opening) -> dict[str, Any]:
    turn = {"conversation": opening.conversation, "run": opening.run}
    return _EMPTY | turn | {"question": opening.question, "created": opening.now, "process": opening.process}


def _ends(closing: Closing) -> list[dict[str, Any]]:
    end = {
        "answer": closing.answer,
        "state": closing.state,
        # `asdict` takes five times as long.
        "sources": [{name: getattr(s, name) for name in Source.__slots__} for s in closing.sources],
        "citations": list(closing.citations),
        "degraded": list(closing.degraded),
    }
    return [end | {"of": run} for run in closing.runs]
