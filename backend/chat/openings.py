"""Turns that are opened while their answer is already being made; a database that is busy holds up nobody."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from backend.core.aio import Background, soon
from backend.core.errors import LibriError, NotFound, StorageFull, StorageUnavailable
from backend.history.base import History, Owner, Turn

log = logging.getLogger(__name__)

OPENING_S = 0.6
"""Longest that the headers of an answer wait for its turn."""

READING_S = 0.6
"""Longest that an answer waits for the conversation before it."""

_REMEMBERED = 10_000
_TURNS = 20


Then = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Outcome:
    kept: bool = False
    refusal: LibriError | None = None


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
            reading = self.history.turns(owner, conversation, last=_TURNS)
            return list(await soon(READING_S, reading)), True
        except NotFound:
            if (owner, conversation) not in self._unkept:
                raise
            return [], False
        except (StorageUnavailable, TimeoutError):
            return [], False

    async def open(
        self, owner: Owner, conversation: str | None, run: str, question: str, then: Then
    ) -> tuple[str, bool]:
        """The conversation's id, and whether the turn is kept by now; if not, its writing goes on behind.

        `then` is done once the turn is kept, however late.

        Raises:
            NotFound: No such conversation of this owner.
        """
        here = conversation or secrets.token_urlsafe(16)
        is_new = conversation is None or (owner, here) in self._unkept
        if is_new:
            self._remember(owner, here)
        begin = partial(self.history.begin, owner, None if is_new else here, run, question, here)
        outcome = _Outcome()
        writing = self._late.start(self._write((owner, here), begin, then, outcome), name=f"turn {run}")
        try:
            await asyncio.wait({writing}, timeout=OPENING_S)
        except asyncio.CancelledError:
            writing.cancel()
            raise
        if outcome.refusal is not None:
            raise outcome.refusal
        return here, outcome.kept

    async def is_kept(self, owner: Owner, conversation: str, run: str) -> bool:
        """Whether a turn that was slow to be opened is kept after all."""
        turns, _ = await self.earlier(owner, conversation)
        return any(turn.run == run for turn in turns)

    async def close(self) -> None:
        """Give up what is still to be written."""
        await self._late.close()

    async def _write(
        self, key: tuple[Owner, str], begin: Callable[[], Awaitable[str]], then: Then, outcome: _Outcome
    ) -> None:
        try:
            await begin()
        except (StorageUnavailable, StorageFull) as exc:
            log.warning("a turn could not be kept", extra={"error": type(exc).__name__})
            return
        except LibriError as exc:
            outcome.refusal = exc
            return
        outcome.kept = True
        self._unkept.pop(key, None)
        await then()

    def _remember(self, owner: Owner, conversation: str) -> None:
        self._unkept[owner, conversation] = None
        while len(self._unkept) > _REMEMBERED:
            self._unkept.popitem(last=False)
