"""Conversations in this process, for tests and for a look at the port's rules."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from backend.core.clock import Clock
from backend.core.errors import Conflict, NotFound
from backend.core.events import Source
from backend.history.base import TAKEN, Conversation, Owner, Rating, Turn, TurnState
from backend.history.titles import title_of


@dataclass(slots=True)
class _Kept:
    owner: Owner
    entry: Conversation
    runs: list[str] = field(default_factory=list)


class MemoryHistory:
    """The history port; nothing outlives the object.

    Attributes:
        ratings: Run id to rating and reason.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._turns: dict[str, Turn] = {}
        self.ratings: dict[str, tuple[Rating, str]] = {}

    def _mine(self, owner: Owner, conversation: str) -> _Kept:
        kept = self._kept.get(conversation)
        if kept is None or kept.owner != owner:
            raise NotFound("no such conversation")
        return kept

    async def begin(
        self, owner: Owner, conversation: str | None, run: str, question: str, named: str = ""
    ) -> str:
        """Open a turn, in a new conversation if `conversation` is None."""
        now = self._clock.now()
        if run in self._turns:
            raise Conflict("this run has a turn already")
        if conversation is None and (there := self._kept.get(named)) is not None:
            if there.owner != owner:
                raise Conflict(TAKEN)
            conversation = named
        if conversation is None:
            conversation = named or secrets.token_urlsafe(16)
            self._kept[conversation] = _Kept(owner, Conversation(conversation, title_of(question), now, now))
        kept = self._mine(owner, conversation)
        kept.entry = replace(kept.entry, updated=now)
        kept.runs.append(run)
        self._turns[run] = Turn(run, question, "", "running", (), (), (), now)
        return conversation

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
        """Close the turns of these runs that are running or were given up."""
        for run in runs:
            turn = self._turns.get(run)
            if turn is not None and turn.state in ("running", "failed"):
                self._turns[run] = replace(
                    turn,
                    answer=answer,
                    state=state,
                    sources=tuple(sources),
                    citations=tuple(citations),
                    degraded=tuple(degraded),
                )

    async def abandon(self, older_than: float) -> int:
        """Mark as failed the turns begun before `older_than` that still run; returns how many."""
        stale = [t for t in self._turns.values() if t.state == "running" and t.created < older_than]
        self._turns |= {turn.run: replace(turn, state="failed") for turn in stale}
        return len(stale)

    async def turns(self, owner: Owner, conversation: str, *, last: int = 50) -> Sequence[Turn]:
        """The newest `last` turns, oldest first."""
        return [self._turns[run] for run in self._mine(owner, conversation).runs[-last:]]

    async def conversations(
        self, owner: Owner, *, before: float | None = None, limit: int = 50
    ) -> Sequence[Conversation]:
        """The owner's conversations, latest first."""
        mine = [kept.entry for kept in self._kept.values() if kept.owner == owner]
        older = [entry for entry in mine if before is None or entry.updated < before]
        return sorted(older, key=lambda entry: (-entry.updated, entry.id))[:limit]

    async def delete(self, owner: Owner, conversation: str) -> None:
        """Remove a conversation with its turns and ratings."""
        for run in self._mine(owner, conversation).runs:
            del self._turns[run]
            self.ratings.pop(run, None)
        del self._kept[conversation]

    async def rate(self, owner: Owner, run: str, rating: Rating, reason: str) -> None:
        """Keep the owner's latest opinion of a run."""
        if not any(run in kept.runs for kept in self._kept.values() if kept.owner == owner):
            raise NotFound("no such run")
        self.ratings[run] = (rating, reason)
