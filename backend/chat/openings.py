"""Turns that are opened while their answer is already being made; a database that is busy holds up nobody."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from backend.chat.outbox import Outbox
from backend.core.aio import soon
from backend.core.errors import Conflict, NotFound, StorageFull, StorageUnavailable
from backend.history.base import History, Owner, Turn

OPENING_S = 0.6
"""Longest that the headers of an answer wait for its turn."""

READING_S = 0.6
"""Longest that an answer waits for the conversation before it."""

_REMEMBERED = 10_000
_TURNS = 20


Then = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Openings:
    """Opens turns, and knows the conversations that are not kept yet though their ids were told.

    What is known is this process's own, until the database takes it.
    """

    history: History
    outbox: Outbox
    _unkept: OrderedDict[tuple[Owner, str], None] = field(default_factory=OrderedDict)

    async def earlier(self, owner: Owner, conversation: str | None) -> tuple[list[Turn], bool]:
        """The conversation's turns so far, and whether they could be read.

        Raises:
            NotFound: No such conversation of this owner.
        """
        if conversation is None:
            return [], True
        told = (owner, conversation) in self._unkept  # looked at first: it may be kept meanwhile
        try:
            reading = self.history.turns(owner, conversation, last=_TURNS)
            return list(await soon(READING_S, reading)), True
        except NotFound:
            if not told:
                raise
            return [], False
        except (StorageUnavailable, StorageFull, TimeoutError):
            return [], False

    async def open(
        self, owner: Owner, conversation: str | None, run: str, question: str, then: Then
    ) -> tuple[str, bool]:
        """The conversation's id, and whether the turn is kept by now; if not, it will be.

        `then` is done once the turn is kept, however late.

        Raises:
            NotFound: No such conversation of this owner.
        """
        here = conversation or secrets.token_urlsafe(16)
        is_new = conversation is None or (owner, here) in self._unkept
        if is_new:
            self._remember(owner, here)

        async def write() -> None:
            with suppress(Conflict):  # kept by an attempt that did not hear of it
                await self.history.begin(owner, None if is_new else here, run, question, here)
            self._unkept.pop((owner, here), None)
            await then()

        return here, await self.outbox.make((owner, here), write, within_s=OPENING_S)

    async def is_kept(self, owner: Owner, conversation: str, run: str) -> bool:
        """Whether a turn that was slow to be opened is kept after all."""
        turns, _ = await self.earlier(owner, conversation)
        return any(turn.run == run for turn in turns)

    def _remember(self, owner: Owner, conversation: str) -> None:
        self._unkept[owner, conversation] = None
        while len(self._unkept) > _REMEMBERED:
            self._unkept.popitem(last=False)
