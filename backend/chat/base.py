"""What a reader asks for, what a run is, and where runs are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from backend.core.events import Origin, Started
from backend.core.text import is_visible
from backend.core.types import Language, Message, Principal
from backend.generations.base import GenerationId, RequestRecord, Writer
from backend.history.base import Owner


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it was asked; None leaves the choice to the server."""

    text: str
    conversation: str | None = None
    corpora: tuple[str, ...] | None = None
    model: str | None = None
    language: Language | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One reader's request, and the generation it follows.

    Attributes:
        joined: Others' generation: this run did not begin it.
        unsure: Whether the history was away, or slow, when the run began.
    """

    id: str
    owner: Owner
    generation: GenerationId
    conversation: str
    joined: bool = False
    unsure: bool = False

    def started(self, origin: Origin) -> Started:
        """The run's first event."""
        cache = "joined" if self.joined else origin.cache
        return Started(self.id, self.conversation, origin.model, origin.variant, cache)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A key the client chose, and a digest of what it asked with it."""

    key: str
    body: str


class RunStore(Protocol):
    """Runs, for as long as their generation's log is kept."""

    async def claim(self, owner: Owner, run: str, idempotency: Idempotency | None) -> Run | None:
        """Reserve a key for `run`; the earlier run with this owner and key, if there is one.

        Waits for one that is just being started.

        Raises:
            Conflict: The key came with another body, or its first request does not get started.
        """

    async def put(self, run: Run) -> None:
        """Keep a run."""

    async def release(self, owner: Owner, run: str, idempotency: Idempotency | None) -> None:
        """Give a claimed key back: its run did not start."""

    async def get(self, owner: Owner, run: str) -> Run:
        """The run.

        Raises:
            NotFound: No such run of this owner, or no longer kept.
        """


class Producer(Protocol):
    """Turns request records into logged answers, in the background."""

    def start(self, writer: Writer, record: RequestRecord) -> None:
        """Begin; the log gets every event, the last one terminal. It ends early where `writer` is told so."""


def owner_of(principal: Principal) -> Owner:
    """Whose conversations the principal's are."""
    return Owner(principal.tenant, principal.subject)


def earlier(turns: Sequence[tuple[str, str]]) -> tuple[Message, ...]:
    """Prompt messages of (question, answer) pairs, oldest first, without turns that were never answered."""
    return alternating(
        [
            message
            for question, answer in turns
            for message in (Message("user", question), Message("assistant", answer))
        ]
    )


def alternating(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The questions that were answered, each with its answer: strict chat templates refuse all else.

    A question that is blank or has no answer goes, and so does an answer that is blank or has no question.
    """
    kept: list[Message] = []
    for asked, said in pairwise(messages):
        answered = (asked.role, said.role) == ("user", "assistant")
        if answered and is_visible(asked.content) and is_visible(said.content):
            kept += (asked, said)
    return tuple(kept)
