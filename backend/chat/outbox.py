"""Writes to the history that are made sooner or later: at once, or again until the database takes them.

What a reader was told must come true: the id of a conversation, that a turn has ended. A database that is
away for a while, locked or full may make that late, never untrue. What still waits at the end is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field

from backend.core.aio import Background
from backend.core.errors import LibriError, StorageFull, StorageUnavailable

log = logging.getLogger(__name__)

AGAIN_S, AT_LATEST_S = 0.5, 5.0
"""The pause after the first attempt that fails; it doubles, up to the second one."""
LINES = 10_000
"""Most that wait; what comes then is tried once."""

Write = Callable[[], Awaitable[object]]


@dataclass(slots=True, eq=False)
class _Waiting:
    """A write, and what came of its latest attempt: made, not yet, or refused for good."""

    write: Write
    tried: asyncio.Future[bool | LibriError]

    def settle(self, outcome: bool | LibriError) -> None:
        if not self.tried.done():
            self.tried.set_result(outcome)


@dataclass(slots=True, eq=False)
class _Line:
    """Writes of one key, made one after the other."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    awake: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Outbox:
    """Lines of writes. One that gets through wakes the others: the database is back."""

    _lines: dict[Hashable, _Line] = field(default_factory=dict)
    _asleep: set[_Line] = field(default_factory=set)
    _work: Background = field(default_factory=lambda: Background(limit=2 * LINES))

    async def make(self, key: Hashable, write: Write, *, within_s: float) -> bool:
        """Whether `write` is made within this time; if not, it is made later, after those of its key before.

        A caller that is cancelled leaves its write behind. `write` may be called again although it was made.

        Raises:
            LibriError: It is refused, whatever the state of the database; it will not be made.
        """
        mine = _Waiting(write, asyncio.get_running_loop().create_future())
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
            self._work.start(self._serve(key, line), name="writes of one conversation")
        line.waiting.append(mine)
        line.awake.set()
        await asyncio.wait({mine.tried}, timeout=within_s)
        outcome = mine.tried.result() if mine.tried.done() else False
        if isinstance(outcome, LibriError):
            raise outcome
        return outcome

    async def close(self, grace_s: float) -> None:
        """Give what waits one more chance, then give it up."""
        self._wake_all()
        await self._work.drain(grace_s)
        if lost := sum(len(line.waiting) for line in self._lines.values()):
            log.error("turns are lost that could not be kept", extra={"turns": lost})

    async def _serve(self, key: Hashable, line: _Line) -> None:
        pause_s = AGAIN_S
        while line.waiting:
            outcome = await _attempt(line.waiting[0].write)
            if outcome is not None:
                line.waiting.popleft().settle(outcome)
                self._wake_all()
                continue
            for one in line.waiting:
                one.settle(False)
            if len(self._lines) > LINES:
                log.error("a turn is lost: too many wait for the database")
                line.waiting.popleft()
                continue
            await self._sleep(line, pause_s)
            pause_s = min(2 * pause_s, AT_LATEST_S)
        del self._lines[key]

    async def _sleep(self, line: _Line, seconds: float) -> None:
        line.awake.clear()
        self._asleep.add(line)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await line.awake.wait()
        self._asleep.discard(line)

    def _wake_all(self) -> None:
        for line in self._asleep:
            line.awake.set()


async def _attempt(write: Write) -> bool | LibriError | None:
    """Whether it was made; why it never will be; None where the database does not take it now."""
    try:
        await write()
    except (StorageUnavailable, StorageFull) as exc:
        log.warning("a turn could not be kept yet", extra={"error": type(exc).__name__})
        return None
    except LibriError as exc:
        return exc
    except Exception:
        log.exception("a turn could not be kept")
        return False
    return True
