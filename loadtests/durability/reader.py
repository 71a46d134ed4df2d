"""A reader: asks, and follows the answer to its end through any number of connections, as the page does.

The rules are those of `backend/api/page/follow.js`: the same key with every repeated question,
`Last-Event-ID` with every new connection, waits that double from what the server says, twelve tries in a row
at most.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Any
from uuid import uuid4

import aiohttp

from loadtests.durability.questions import Question
from loadtests.durability.sse import Event, Parser

SILENCE_S = 35.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 15.0
MOST_TRIES = 12
ASKS_AGAIN = 10
"""How often a reader asks again whose question was refused for now."""
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_S)


class Outcome(StrEnum):
    """How a reading ended."""

    DONE = "done"
    ERROR = "error"
    """With a terminal event that says so."""
    REFUSED = "refused"
    AWAY = "away"
    """No server took the reader back."""
    OPEN = "open"


@dataclass(slots=True)
class Reading:
    """One answer as its reader saw it; times are of `time.monotonic`.

    Attributes:
        arrivals: When text came.
        came_back: When it had to connect again.
        refusals: When a request was answered with an error, the status, and the code.
        asked_again: How often the question itself was sent again after a refusal.
        degraded: As the last event says.
        code: Of the error, the refusal, or the reason to finish.
        replaced: How often what was shown was taken back.
    """

    question: Question
    reader: int
    key: str = field(default_factory=lambda: uuid4().hex)
    asked_s: float = 0.0
    ended_s: float = 0.0
    run: str = ""
    conversation: str = ""
    text: str = ""
    arrivals: list[float] = field(default_factory=list)
    came_back: list[float] = field(default_factory=list)
    refusals: list[tuple[float, int, str]] = field(default_factory=list)
    asked_again: int = 0
    degraded: tuple[str, ...] = ()
    outcome: Outcome = Outcome.OPEN
    code: str = ""
    replaced: int = 0

    @property
    def is_whole(self) -> bool:
        """It ended as it should, with what was to be said."""
        return (self.outcome, self.code) == (Outcome.DONE, "stop") and self.text == self.question.answer

    @property
    def flows(self) -> bool:
        """Text has come, and not all."""
        return bool(self.arrivals) and self.outcome is Outcome.OPEN


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """An answer that is no success."""

    status: int
    code: str
    retry_after_s: float | None

    @property
    def for_now(self) -> bool:
        return self.status in (429, 502, 503, 504)


Pick = Callable[[int], str]
"""The base address of a connection, by its number from 0."""


class Follower:
    """Follows one answer.

    Args:
        pick: Where each connection goes.
        until: Asked after each event; True: the connection is cut there, as if it broke.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        pick: Pick,
        reading: Reading,
        headers: Mapping[str, str],
        *,
        until: Callable[[Reading], bool] | None = None,
    ) -> None:
        self._session, self._pick, self._headers = session, pick, dict(headers)
        self._until = until
        self._last, self._retry_s = "", FIRST_RETRY_S
        self._connections = self._failures = 0
        self.reading = reading

    async def follow(self) -> Reading:
        """To the end; never raises for what a server does."""
        reading = self.reading
        reading.asked_s = monotonic()
        while reading.outcome is Outcome.OPEN:
            try:
                if await self._connect():
                    break
            except Refused as refused:
                await self._after(refused)
                continue
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await self._pause()
        reading.ended_s = monotonic()
        return reading

    async def _after(self, refused: Refused) -> None:
        """What a reader does who is shown an error: asks once more if that may help, by the same key."""
        reading = self.reading
        reading.refusals.append((monotonic(), refused.status, refused.code))
        if reading.run and refused.status >= 500:
            await self._pause()
        elif refused.for_now and reading.asked_again < ASKS_AGAIN:
            reading.asked_again += 1
            await asyncio.sleep(min(refused.retry_after_s or 1.0, 5.0))
        else:
            reading.outcome, reading.code = Outcome.REFUSED, refused.code

    async def _pause(self) -> None:
        if self._failures >= MOST_TRIES:
            self.reading.outcome = Outcome.AWAY
            return
        await asyncio.sleep(backoff_s(self._failures, min(self._retry_s, 1.0)))
        self._failures += 1
        self.reading.came_back.append(monotonic())

    async def _connect(self) -> bool:
        """One connection; whether the answer has ended.

        Raises:
            Refused
            aiohttp.ClientError, TimeoutError, OSError: It broke, or there was none.
        """
        async with self._request() as response:
            if response.status == 204:
                self.reading.outcome = Outcome.DONE
                return True
            if response.status != 200:
                raise await _refusal(response)
            parser = Parser()
            async for data in response.content.iter_any():
                for event in parser.push(data):
                    self._retry_s, self._failures = parser.retry_s or self._retry_s, 0
                    if self._take(event):
                        return True
                    if self._until is not None and self._until(self.reading):
                        return False
        return False

    def _request(self) -> Any:
        reading, number = self.reading, self._connections
        base, self._connections = self._pick(number), number + 1
        headers = self._headers | ({"Last-Event-ID": self._last} if self._last else {})
        if reading.run:
            url = f"{base}/api/v1/runs/{reading.run}/events"
            return self._session.get(url, headers=headers, timeout=_TIMEOUT)
        body = {"question": reading.question.text}
        headers["Idempotency-Key"] = reading.key
        return self._session.post(f"{base}/api/v1/chat/stream", json=body, headers=headers, timeout=_TIMEOUT)

    def _take(self, event: Event) -> bool:
        """Show it; whether it was the last."""
        reading, data = self.reading, event.data
        if event.name == "started":
            reading.run, reading.conversation = data["run_id"], data["conversation_id"]
            if not self._last:
                reading.text = ""
            return False
        if event.id and self._last and not is_after(event.id, self._last):
            return False
        self._last = event.id or self._last
        match event.name:
            case "delta":
                reading.text += data["text"]
                reading.arrivals.append(monotonic())
            case "replace" if data["channel"] == "answer":
                reading.text, reading.replaced = data["text"], reading.replaced + 1
            case "done":
                reading.outcome, reading.code = Outcome.DONE, data["finish_reason"]
                reading.degraded = tuple(data["degraded"])
            case "error":
                reading.outcome, reading.code = Outcome.ERROR, data["code"]
        return event.name in ("done", "error")


def is_after(one: str, other: str) -> bool:
    """Whether event id `one` comes after `other`."""
    return tuple(map(int, one.split("-"))) > tuple(map(int, other.split("-")))


def backoff_s(tries: int, base_s: float) -> float:
    """How long to wait before try `tries` (from 0): doubling, bounded, half of it random."""
    full = min(LONGEST_RETRY_S, base_s * 2.0**tries)
    return full / 2 + random.random() * full / 2


async def _refusal(response: aiohttp.ClientResponse) -> Refused:
    try:
        said = await response.json(content_type=None)
        code = str(said["code"])
    except (ValueError, KeyError, TypeError, aiohttp.ClientError):
        code = f"http_{response.status}"
    after = response.headers.get("Retry-After", "")
    return Refused(response.status, code, float(after) if after.isdigit() else None)
