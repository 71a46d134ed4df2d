"""The port of conversations. Every method takes the owner: another's conversation does not exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from backend.core.events import Source

TAKEN = "this run or conversation is there already"
TurnState = Literal["running", "done", "stopped", "failed"]
Rating = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose conversation it is."""

    tenant: str
    subject: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A list entry; `title` is the first question, shortened."""

    id: str
    title: str
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer.

    Attributes:
        run: Id of the run; may be followed while `state` is "running".
        answer: What was shown so far when the state was last written; "" while running.
    """

    run: str
    question: str
    answer: str
    state: TurnState
    sources: tuple[Source, ...]
    citations: tuple[int, ...]
    degraded: tuple[str, ...]
    created: float


class History(Protocol):
    """Conversations in SQL."""

    async def begin(
        self, owner: Owner, conversation: str | None, run: str, question: str, named: str = ""
    ) -> str:
        """Open a turn in a conversation, new if None; returns the conversation's id.

        A new one is called `named`, if an id was given out; it is the one of that id, if the owner has it.

        Raises:
            NotFound: No such conversation of this owner.
            Conflict: The run has a turn already, or `named` is another's.
            StorageUnavailable
        """

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
        """Close the turns of these runs with the same answer.

        A turn that is closed already stays as it is, unless it had been given up by `abandon`.

        Raises:
            StorageUnavailable
        """

    async def abandon(self, older_than: float) -> int:
        """Mark as failed the turns that no living process produces any more; returns how many.

        Only those that began before `older_than` (epoch s).

        Raises:
            StorageUnavailable
        """

    async def turns(self, owner: Owner, conversation: str, *, last: int = 50) -> Sequence[Turn]:
        """The newest `last` turns, oldest first.

        Raises:
            NotFound, StorageUnavailable
        """

    async def conversations(
        self, owner: Owner, *, before: float | None = None, limit: int = 50
    ) -> Sequence[Conversation]:
        """The owner's conversations, latest first; only those updated before `before` (epoch s)."""

    async def delete(self, owner: Owner, conversation: str) -> None:
        """Remove a conversation with all its turns and ratings.

        Raises:
            NotFound, StorageUnavailable
        """

    async def rate(self, owner: Owner, run: str, rating: Rating, reason: str) -> None:
        """What the owner thinks of a run's answer; a later rating replaces.

        Raises:
            NotFound: No such run of this owner.
            StorageUnavailable
        """
