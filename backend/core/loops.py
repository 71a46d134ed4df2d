"""Background loops that go on: one that raises is logged, counted and begun again after a pause."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from backend.core.aio import Background
from backend.core.clock import Clock

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
SETTLED_S: Final = 5.0
"""A loop that has gone on for so long since it was begun again is well."""

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class _Failing:
    """A loop that raised.

    Attributes:
        again_at: When it is, or was, begun again.
    """

    reason: str
    times: int
    again_at: float


class Loops:
    """All loops of a process.

    Args:
        background: Owns the tasks; closing it ends the loops.
        failed: Told the name of a loop each time it raised.
    """

    def __init__(
        self,
        background: Background,
        clock: Clock,
        *,
        failed: Callable[[str], None] = lambda _: None,
        chance: random.Random | None = None,
    ) -> None:
        self._background = background
        self._clock = clock
        self._failed = failed
        self._chance = chance or random.Random()  # noqa: S311  no secret
        self._failing: dict[str, _Failing] = {}

    def start(self, work: Work, *, name: str, longest_pause_s: float = LONGEST_PAUSE_S) -> None:
        """Run `work` until it returns, however often it raises; `name` is its own among all loops."""
        self._background.start(self._supervised(work, name, longest_pause_s), name=name)

    def failing(self) -> Mapping[str, str]:
        """Loops that raised and have not settled since, and what they raised."""
        return {name: one.reason for name, one in self._failing.items() if not self._settled(one)}

    async def _supervised(self, work: Work, name: str, longest_pause_s: float) -> None:
        while True:
            try:
                await work()
            except Exception as exc:  # noqa: BLE001  whatever it was: logged, counted, seen in /health/ready
                await asyncio.sleep(self._noted(name, exc, longest_pause_s))
            else:
                self._failing.pop(name, None)
                return

    def _noted(self, name: str, exc: Exception, longest_pause_s: float) -> float:
        """Seconds to pause: more each time, and not the same in every process."""
        before = self._failing.get(name)
        times = 1 if before is None or self._settled(before) else before.times + 1
        longest = min(FIRST_PAUSE_S * 2.0 ** (min(times, 16) - 1), longest_pause_s)
        pause_s = longest * self._chance.uniform(0.5, 1.0)
        self._failing[name] = _Failing(type(exc).__name__, times, self._clock.monotonic() + pause_s)
        self._failed(name)
        told = {"event": "loop_failed", "loop": name, "times": times, "again_in_s": round(pause_s, 1)}
        log.error("a background loop failed; it is begun again", extra=told, exc_info=exc)
        return pause_s

    def _settled(self, one: _Failing) -> bool:
        return self._clock.monotonic() >= one.again_at + SETTLED_S
