"""Emulated time: real, faster than real, or a simulation that jumps from one event to the next."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

NANO = 1_000_000_000


@dataclass(slots=True, order=True)
class Timer:
    """A callback for later; `cancel` takes it back."""

    at_s: float
    number: int
    callback: Callable[[], None] = field(compare=False)
    handle: asyncio.TimerHandle | None = field(default=None, compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True
        if self.handle is not None:
            self.handle.cancel()


class Clock(Protocol):
    """Seconds of emulated time since the instance started.

    Attributes:
        lag_s: How late the process may run and still catch up; beyond it, lost time is lost.
    """

    lag_s: float

    def now(self) -> float: ...

    async def sleep_until(self, at_s: float) -> None:
        """Work that takes until `at_s`; always lets other tasks run, even when that is past."""

    def call_at(self, at_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once time has passed `at_s`; in a simulation this does not itself make time pass."""


async def sleep(clock: Clock, seconds: float) -> None:
    """Work that takes `seconds` of emulated time."""
    await clock.sleep_until(clock.now() + seconds)


class ScaledClock:
    """Real time, `scale` real seconds to an emulated one (0.1: ten times faster than life)."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self.lag_s = 0.25 / scale
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()
        self._numbers = itertools.count()

    def now(self) -> float:
        return (self._loop.time() - self._zero) / self._scale

    async def sleep_until(self, at_s: float) -> None:
        real = self._zero + at_s * self._scale
        if real <= self._loop.time():
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = self._loop.create_future()
        handle = self._loop.call_at(real, _wake, woken)
        try:
            await woken
        finally:
            handle.cancel()

    def call_at(self, at_s: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(at_s, next(self._numbers), callback)
        timer.handle = self._loop.call_at(self._zero + at_s * self._scale, callback)
        return timer


class VirtualClock:
    """A discrete-event simulation: when work is asked for, time jumps to the end of the earliest.

    Timers fire when work moves time past them; they never move it, so a model kept for five minutes is not
    unloaded the moment nobody asks. `advance` moves time by hand.

    Args:
        auto: False: time moves only by `advance` (for tests of the scheduler and the runner).
    """

    def __init__(self, *, auto: bool = True) -> None:
        self._auto = auto
        self.lag_s = float("inf")
        self._loop = asyncio.get_running_loop()
        self._now = 0.0
        self._work: list[tuple[float, int, asyncio.Future[None]]] = []
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._turning = False

    def now(self) -> float:
        return self._now

    async def sleep_until(self, at_s: float) -> None:
        woken: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._work, (max(at_s, self._now), next(self._numbers), woken))
        self._kick()
        await woken

    def call_at(self, at_s: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(at_s, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    async def advance(self, seconds: float) -> None:
        """Let everything happen that is due within the next `seconds`, in order."""
        end = self._now + seconds
        await self._settle()
        while self._work and self._work[0][0] <= end:
            self._wake_earliest()
            await self._settle()
        self._move(end)
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    def _kick(self) -> None:
        if self._auto and self._work and not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        if self._work:
            self._wake_earliest()
        self._kick()

    def _wake_earliest(self) -> None:
        at_s, _, woken = heapq.heappop(self._work)
        if not woken.done():
            self._move(at_s)
            woken.set_result(None)

    def _move(self, to_s: float) -> None:
        while self._timers and self._timers[0].at_s <= to_s:
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self._now = max(self._now, timer.at_s)
                timer.callback()
        self._now = max(self._now, to_s)


class Stamps:
    """Wall-clock time as Go prints it: RFC 3339, UTC, up to nanoseconds, trailing zeros cut."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch_ns = time.time_ns() - int(clock.now() * NANO)
        self._second = -1
        self._text = ""
        self.skew_s = 0.0

    def epoch_s(self) -> int:
        """Whole seconds since 1970, with the skew."""
        return self._ns(self._clock.now()) // NANO

    def now(self) -> str:
        """`created_at` of an object sent now."""
        return self.at(self._clock.now(), skewed=True)

    def at(self, at_s: float, *, skewed: bool = False) -> str:
        """The stamp of an emulated time."""
        second, ns = divmod(self._ns(at_s, skewed=skewed), NANO)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{ns:09d}".rstrip("0") + "Z" if ns else f"{self._text}Z"

    def _ns(self, at_s: float, *, skewed: bool = True) -> int:
        return self._epoch_ns + int((at_s + (self.skew_s if skewed else 0.0)) * NANO)


def make_clock(time_scale: float) -> Clock:
    """Real time at 1, faster below, a simulation at 0."""
    return ScaledClock(time_scale) if time_scale > 0 else VirtualClock()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
