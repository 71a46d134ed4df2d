"""Slots in Redis: every operation is one script, every process keeps what it holds, so Redis may forget."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.resources import files
from random import Random
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError, ResponseError

from backend.core.clock import Clock
from backend.core.errors import DeadlineExceeded, LibriError, NoInstance, PoolFull, SlotsUnavailable
from backend.pool.slots.base import Capacity, Granted, Place, Snapshot, Ticket

log = logging.getLogger(__name__)

PREFIX = "libri:{pool}"
_OPERATIONS = ("join", "peek", "leave", "claim", "promote", "put", "beat", "restore", "view")
_UNBOUNDED = 1_000_000_000
_FULL = {
    "full": "too many requests are waiting",
    "flow_full": "too many of your own requests are waiting",
}


@dataclass(slots=True, eq=False)
class _Mine:
    """A ticket of this process: enough to tell Redis again.

    Attributes:
        lost: Redis knows nothing of it any more.
    """

    ticket: Ticket
    joined: float
    since: float
    tag: float = 0.0
    position: int = 0
    instance: str | None = None
    end: LibriError | None = None
    lost: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waits(self) -> bool:
        """It stands in the queue, as far as this process knows."""
        return self.position > 0 and self.instance is None and self.end is None

    def settle(self, *, instance: str | None = None, end: LibriError | None = None, now: float) -> None:
        """It has a slot, or is void."""
        self.instance, self.end, self.since = instance, end, now
        self.changed.set()

    def miss(self) -> None:
        """Redis does not know it."""
        self.lost = True
        self.changed.set()


class RedisSlots:
    """Slots shared by all processes that use one Redis.

    A grant is claimed by whom it is for, or passes on after half a second; a process that gives no sign of
    life for four seconds loses what it holds. When Redis comes back empty, every process tells again what it
    holds before anything new is given out.

    Args:
        redis: Fails fast, as `infra.redis.open_redis` makes it.
        listener: Its own client for blocking reads; bears at least two seconds of silence.
        process: Unique name of this process, of this start of it.
        hold_s: How long nothing is given out after Redis came back.
        clock_in_redis: Redis's own time counts; otherwise `clock`'s (for tests in simulated time).
    """

    def __init__(
        self,
        redis: Redis,
        listener: Redis,
        clock: Clock,
        *,
        process: str,
        queue_limit: int = 512,
        hold_s: float = 1.5,
        clock_in_redis: bool = True,
    ) -> None:
        self._redis = redis
        self._listener = listener
        self._clock = clock
        self._process = process
        self._queue_limit = queue_limit
        self._hold_s = hold_s
        self._clock_in_redis = clock_in_redis
        self._rng = Random()  # noqa: S311  balance, not secrets
        self._scripts = _scripts(redis)
        self._mine: dict[str, _Mine] = {}
        self._capacities: dict[str, Capacity] = {}

    async def join(self, ticket: Ticket, weights: Mapping[str, float]) -> Granted | Place:
        """See `Slots.join`."""
        now = self._clock.monotonic()
        mine = self._mine[ticket.id] = _Mine(ticket, now, now)
        try:
            answer = await self._asked("join", ticket, self._join_arguments(ticket, weights))
            return self._joined(mine, answer)
        except BaseException:
            self._mine.pop(ticket.id, None)
            raise

    async def peek(self, ticket: Ticket) -> int:
        """See `Slots.peek`."""
        arguments = ticket.model, ticket.flow, _batch(ticket), _tried(ticket), self._queue_limit
        match await self._asked("peek", ticket, arguments):
            case ["queued", position]:
                return int(position)
            case answer:
                raise _refusal(answer)

    async def wait(self, ticket: str, timeout_s: float) -> Granted | Place:
        """See `Slots.wait`."""
        mine = self._mine[ticket]
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await mine.changed.wait()
        if mine.end is not None:
            raise mine.end
        if mine.lost:
            return await self._join_again(mine)
        if mine.instance is None:
            return Place(mine.position, mine.tag)
        if await self._run("claim", ticket):
            return Granted(mine.instance, mine.tag)
        return await self._join_again(mine)

    async def leave(self, ticket: str, *, held_s: float | None = None) -> None:
        """See `Slots.leave`."""
        if self._mine.pop(ticket, None) is not None:
            await self._run("leave", ticket, "" if held_s is None else repr(held_s))

    def forget(self, ticket: str) -> None:
        """Leave without telling Redis now; the next sign of life does."""
        self._mine.pop(ticket, None)

    async def promote(self, ticket: str) -> None:
        """See `Slots.promote`."""
        await self._run("promote", ticket)

    async def put(self, instance: str, room: Capacity) -> None:
        """See `Slots.put`."""
        self._capacities[instance] = room
        flags = [part for pair in _flags(room).items() for part in pair]
        await self._known("put", instance, room.slots, *flags)

    async def remove(self, instance: str) -> None:
        """See `Slots.remove`."""
        self._capacities.pop(instance, None)
        await self._known("put", instance, "")

    async def view(self) -> Snapshot:
        """See `Slots.view`."""
        said = json.loads(await self._known("view"))
        capacities = {name: _capacity(int(said["rows"][name]), said["models"][name]) for name in said["rows"]}
        self._capacities = dict(capacities)
        return Snapshot(
            capacities=capacities,
            held_s={name: list(held) for name, held in said["held"].items()},
            serving={name: _dict(models) for name, models in said["serving"].items()},
            waiting=_dict(said["waiting"]),
            batch=int(said["batch"]),
            durations_s={name: tuple(map(float, seen)) for name, seen in _dict(said["seen"]).items()},
            oldest_s=_dict(said["oldest"]),
            processes=int(said["processes"]),
        )

    async def beat(self) -> None:
        """Give a sign of life, and set right what Redis and this process think of each other.

        A notice can be lost with the connection that it came on. A grant is then not claimed and passes on,
        and Redis forgets the ticket: whoever waited in Redis before and is not named now joins again.
        """
        waited = [one for one in self._mine.values() if one.waits]
        told = await self._known("beat")
        named = {ticket for ticket, _, _ in told}
        for one in waited:
            if one.waits and one.ticket.id not in named:
                one.miss()
        for ticket, instance, detail in told:
            mine = self._mine.get(ticket)
            if mine is None:
                await self._run("leave", ticket, "")
            elif instance:
                if mine.instance is None:
                    mine.settle(instance=instance, now=self._clock.monotonic())
            elif detail in ("none", "late"):
                mine.settle(end=_void(str(detail)), now=self._clock.monotonic())
            else:
                mine.position = int(detail)

    async def adopt(self, ticket: Ticket, instance: str, since_s: float) -> None:
        """Count a slot that was taken while Redis was away."""
        now = self._clock.monotonic()
        mine = _Mine(ticket, now - since_s, now - since_s, instance=instance)
        self._mine[ticket.id] = mine
        await self._restore([mine])

    async def hear(self, block_s: float) -> None:
        """Take in one notice, if one comes within `block_s`."""
        try:
            heard = await self._listener.blpop([f"{PREFIX}:notices:{self._process}"], timeout=block_s)
        except (RedisError, OSError) as exc:
            raise SlotsUnavailable("the shared slots do not answer") from exc
        if heard is None:
            return
        what, ticket, detail, tag = json.loads(heard[1])
        mine = self._mine.get(ticket)
        if mine is None:
            return
        now = self._clock.monotonic()
        if what == "granted":
            mine.tag = float(tag)
            mine.settle(instance=detail, now=now)
        else:
            mine.settle(end=_void(detail), now=now)

    def _join_arguments(self, ticket: Ticket, weights: Mapping[str, float]) -> Sequence[str | int]:
        return (
            ticket.id,
            ticket.model,
            ticket.flow,
            _batch(ticket),
            repr(ticket.weight),
            repr(ticket.patience_s),
            _tried(ticket),
            "" if ticket.tag is None else repr(ticket.tag),
            _UNBOUNDED if ticket.returns else self._queue_limit,
            repr(self._rng.random()),
            *(part for name, weight in weights.items() for part in (name, repr(weight))),
        )

    async def _asked(self, operation: str, ticket: Ticket, arguments: Sequence[str | int]) -> Any:
        """The answer; "none" is asked again where this process knows better: Redis may forget some."""
        answer = await self._known(operation, *arguments)
        if answer == ["none"] and self._could(ticket):
            await self._restore([])
            answer = await self._known(operation, *arguments)
        return answer

    def _joined(self, mine: _Mine, answer: Sequence[Any]) -> Granted | Place:
        match answer:
            case ["granted", instance, tag]:
                mine.instance, mine.tag = instance, float(tag)
                return Granted(instance, mine.tag)
            case ["queued", position, tag]:
                mine.position, mine.tag = int(position), float(tag)
                return Place(mine.position, mine.tag)
        raise _refusal(answer)

    def _could(self, ticket: Ticket) -> bool:
        return any(
            name not in ticket.tried and room.could_answer(ticket.model)
            for name, room in self._capacities.items()
        )

    async def _join_again(self, mine: _Mine) -> Granted | Place:
        """Its grant has passed on: this process was too slow, or Redis was away."""
        mine.instance, mine.lost, mine.position = None, False, 0
        mine.changed.clear()
        ticket = replace(mine.ticket, again=True)
        left_s = ticket.patience_s - (self._clock.monotonic() - mine.joined)
        arguments = list(self._join_arguments(ticket, {}))
        arguments[5], arguments[7] = repr(max(0.0, left_s)), repr(mine.tag)
        return self._joined(mine, await self._known("join", *arguments))

    async def _known(self, operation: str, *arguments: str | int) -> Any:
        """Run an operation that only a known process may ask for; become known if need be."""
        answer = await self._run(operation, *arguments)
        if answer in ("lost", ["lost"]):
            joining = self._mine.get(str(arguments[0])) if operation == "join" else None
            held = [mine for mine in self._mine.values() if mine is not joining]
            if held:
                log.warning("the shared slots had forgotten this process", extra={"tickets": len(held)})
            await self._restore(held)
            answer = await self._run(operation, *arguments)
        if answer in ("lost", ["lost"]):
            raise SlotsUnavailable("the shared slots forget at once")
        return answer

    async def _restore(self, mine: Sequence[_Mine]) -> None:
        now = self._clock.monotonic()
        capacities = {
            name: {"capacity": room.slots, "models": _flags(room)} for name, room in self._capacities.items()
        }
        tickets = [_told(one, now) for one in mine if one.end is None]
        await self._run(
            "restore", json.dumps({"hold_s": self._hold_s, "rows": capacities, "tickets": tickets})
        )

    async def _run(self, operation: str, *arguments: str | int) -> Any:
        now = "" if self._clock_in_redis else repr(self._clock.monotonic())
        try:
            return await self._scripts[operation](keys=[PREFIX], args=[now, self._process, *arguments])
        except ResponseError as exc:
            log.error(
                "an operation of the slots failed in Redis",
                extra={"operation": operation, "reason": str(exc)},
            )
            raise SlotsUnavailable("the shared slots do not work") from exc
        except (RedisError, OSError) as exc:
            raise SlotsUnavailable("the shared slots do not answer") from exc

    async def listen(self) -> None:
        """Take in notices for ever."""
        while True:
            try:
                await self.hear(1.0)
            except SlotsUnavailable:
                await asyncio.sleep(0.2)


def _scripts(redis: Redis) -> dict[str, AsyncScript]:
    folder = files("backend.pool.slots") / "lua"
    begin = (folder / "slots.lua").read_text("utf-8")
    return {
        name: redis.register_script(begin + (folder / f"{name}.lua").read_text("utf-8"))
        for name in _OPERATIONS
    }


def _told(mine: _Mine, now: float) -> dict[str, Any]:
    ticket = mine.ticket
    return {
        "id": ticket.id,
        "model": ticket.model,
        "flow": ticket.flow,
        "batch": _batch(ticket),
        "tried": _tried(ticket),
        "tag": mine.tag,
        "expected": 0.0,
        "cost": 0.0,
        "since_s": now - mine.since,
        "left_s": ticket.patience_s - (now - mine.joined),
        "instance": mine.instance,
    }


def _batch(ticket: Ticket) -> str:
    return "1" if ticket.priority == "batch" else "0"


def _tried(ticket: Ticket) -> str:
    return "\n" + "\n".join(sorted(ticket.tried)) + "\n" if ticket.tried else ""


def _flags(room: Capacity) -> dict[str, str]:
    return dict.fromkeys(room.cold, "0") | dict.fromkeys(room.ready, "1")


def _capacity(capacity: int, flat: Sequence[str] | Mapping[str, str]) -> Capacity:
    flags = dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else {}
    ready = frozenset(model for model, flag in flags.items() if flag == "1")
    return Capacity(capacity, ready, frozenset(flags) - ready)


def _refusal(answer: Any) -> LibriError:
    match answer:
        case ["none"]:
            return NoInstance("no model server is available")
        case ["full" | "flow_full" as why]:
            return PoolFull(_FULL[why])
    return SlotsUnavailable("the shared slots answer strangely")


def _void(why: str) -> LibriError:
    if why == "late":
        return DeadlineExceeded("no slot came free in time")
    return NoInstance("no model server is available")


def _dict(value: Any) -> dict[str, Any]:
    """An empty table comes out of Lua as a list."""
    return value if isinstance(value, dict) else {}
