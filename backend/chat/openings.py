"""Turns that are opened while their answer is already being made; a database that is busy holds up nobody."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from backend.core.aio import Background
from backend.core.errors import LibriError, NotFound, StorageFull, StorageUnavailable
from backend.history.base import History, Owner, Turn

OPENING_S = 0.6
"""Longest that the headers of an answer wait for its turn."""

READING_S = 0.6
"""Longest that an answer waits for the conversation before it."""

_REMEMBERED = 10_000
_TURNS = 20


@dataclass(slots=True)
class Openings:
    """Opens turns, and knows the conversations that could not be kept: they are begun with the next turn.

    What is known is this process's own; after a restart such a conversation does not exist.
    """

    history: History
    _late: Background = field(default_factory=Background)
    _unkept: OrderedDict[tuple[Owner, str], None] = field(default_factory=OrderedDict)

    async def earlier(self, owner: Owner, conversation: str | None) -> tuple[list[Turn], bool]:
        """The conversation's turns so far, and whether they could be read.

        Raises:
            NotFound: No such conversation of this owner.
        """
        if conversation is None:
            return [], True
        try:
            async with asyncio.timeout(READING_S):
                return list(await self.history.turns(owner, conversation, last=_TURNS)), True
        except NotFound:
            if (owner, conversation) not in self._unkept:
                raise
            return [], False
        except (StorageUnavailable, TimeoutError):
            return [], False

    async def open(self, owner: Owner, conversation: str | None, run: str, question: str) -> tuple[str, bool]:
        """The conversation's id, and whether the turn is kept by now; if not, its writing goes on behind.

        Raises:
            NotFound: No such conversation of this owner.
        """
        here = conversation or secrets.token_urlsafe(16)
        is_new = conversation is None or (owner, here) in self._unkept
        if is_new:
            self._remember(owner, here)
        refusals: list[LibriError] = []
        writing = self._late.start(self._write(owner, here, is_new, run, question, refusals), name="a turn")
        try:
            done, _ = await asyncio.wait({writing}, timeout=OPENING_S)
        except asyncio.CancelledError:
            writing.cancel()
            raise
        if refusals and not isinstance(refusals[0], (StorageUnavailable, StorageFull)):
            raise refusals[0]
        return here, bool(done) and not refusals

    async def is_kept(self, owner: Owner, conversation: str, run: str) -> bool:
        """Whether a turn that was slow to be opened is kept after all."""
        turns, _ = await self.earlier(owner, conversation)
        return any(turn.run == run for turn in turns)

    async def close(self) -> None:
        """Give up what is still to be written."""
        await self._late.close()

    async def _write(
        self, owner: Owner, here: str, is_new: bool, run: str, question: str, refusals: list[LibriError]
    ) -> None:
        try:
            if is_new:
                await self.history.begin(owner, None, run, question, named=here)
            else:
                await self.history.begin(owner, here, run, question)
        except LibriError as exc:
            refusals.append(exc)
        else:
            self._unkept.pop((owner, here), None)

    def _remember(self, owner: Owner, conversation: str) -> None:
        self._unkept[owner, conversation] = None
        while len(self._unkept) > _REMEMBERED:
            self._unkept.popitem(last=False)
