"""Runs that all processes know, in Redis; each keeps those that it knows itself, so Redis may forget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from uuid import uuid4

import orjson
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from backend.chat.base import Idempotency, Run
from backend.chat.memory import Kept, MemoryRuns
from backend.core.errors import Conflict, LogUnavailable, NotFound
from backend.history.base import Owner

log = logging.getLogger(__name__)

PREFIX: Final = "libri:"
AGE: Final = f"{PREFIX}{{runs}}:age"
"""The name of the data that Redis holds: another name, or none, and some of it is lost."""
LEASE_S: Final = 5.0
"""A key whose run is being started is free again so long after its process died."""
EVERY_S: Final = 1.0
SETTLING_S: Final = 3 * EVERY_S
"""After Redis came back, time for all processes to tell what they know."""
_LOOKED_AT: Final = 16
_AT_ONCE: Final = 500
_AGE_KEPT_MS: Final = 24 * 3600 * 1000
_ODD: Final = "what is no run of ours is left out"
_RUN: Final = TypeAdapter(Run)


class RedisRuns:
    """Runs and idempotency keys shared by all processes that use one Redis.

    A run is written once, and read by a process that does not know it. While Redis is away a process serves
    the runs that it knows, an idempotency key holds within the process alone, and of any other run nobody can
    say whether there is one. When Redis comes back without them, each process tells those that it knows.

    Args:
        redis: Fails fast, as `infra.redis.open_redis` makes it.
        own: What this process knows.
    """

    def __init__(self, redis: Redis, own: MemoryRuns) -> None:
        folder = files("backend.chat") / "lua"
        self._redis = redis
        self._own = own
        self._claim, self._settle, self._release = (
            redis.register_script((folder / f"{name}.lua").read_text("utf-8"))
            for name in ("claim", "settle", "release")
        )
        self._is_up = True
        self._age = ""
        self._tells_all = False
        self._settled_at = 0.0
        self._untold: dict[str, Kept] = {}

    async def claim(self, owner: Owner, run: str, idempotency: Idempotency | None) -> Run | None:
        """See `RunStore`; within this process first, so that of many only one asks Redis."""
        try:
            async with asyncio.timeout(self._own.starting_s):
                found = await self._own.claim(owner, run, idempotency)
                if found is not None or idempotency is None:
                    return found
                found = await self._earlier(owner, run, idempotency)
        except BaseException as exc:
            await self._own.release(owner, run, idempotency)
            if isinstance(exc, TimeoutError):
                raise Conflict("the first request with this Idempotency-Key is still starting") from None
            raise
        if found is not None:
            await self._own.release(owner, run, idempotency)
            self._own.keep(found)
        return found

    async def _earlier(self, owner: Owner, run: str, idempotency: Idempotency) -> Run | None:
        """Another process's run with this key, once it is started; None: the key is this run's."""
        pause_s = 0.02
        while self._is_up:
            try:
                holder, body, kept = await self._reserved(owner, run, idempotency)
            except (RedisError, OSError) as exc:
                self._lost(exc)
                break
            if body != idempotency.body:
                raise Conflict("this Idempotency-Key came with another request")
            if holder == run:
                break
            if kept and (found := _read(kept)):
                return found
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.2)
        return None

    async def _reserved(self, owner: Owner, run: str, idempotency: Idempotency) -> Sequence[str]:
        key = _claim_key(owner, idempotency.key)
        holder, body, kept = await self._claim(keys=[key], args=[run, idempotency.body, int(LEASE_S * 1000)])
        if kept and _read(kept) is None:
            await self._redis.delete(key)
        return holder, body, kept

    async def put(self, run: Run) -> None:
        """See `RunStore`; where Redis is away it is told later."""
        kept = self._untold[run.id] = self._own.keep(run)
        if self._is_up:
            try:
                await self._tell([kept])
            except (RedisError, OSError) as exc:
                self._lost(exc)

    async def release(self, owner: Owner, run: str, idempotency: Idempotency | None) -> None:
        """See `RunStore`."""
        await self._own.release(owner, run, idempotency)
        if idempotency is not None and self._is_up:
            try:
                await self._release(keys=[_claim_key(owner, idempotency.key)], args=[run])
            except (RedisError, OSError) as exc:
                self._lost(exc)

    async def get(self, owner: Owner, run: str) -> Run:
        """See `RunStore`.

        Raises:
            NotFound: No such run of this owner, or no longer kept.
            LogUnavailable: This process does not know it, and Redis cannot be asked, or has not been told
                again yet what it lost.
        """
        found = self._own.known(run)
        if found is None and _might_be_one(run):
            found = await self._found(run)
            if found is not None and found.owner == owner:
                self._own.keep(found)
        if found is None or found.owner != owner:
            raise NotFound("no such run")
        return found

    async def _found(self, run: str) -> Run | None:
        if not self._is_up:
            raise LogUnavailable("runs of other processes cannot be looked up", retry_after_s=EVERY_S)
        try:
            said = await self._text_of(_run_key(run))
            if found := _read(said):
                return found
            self._see(await self._text_of(AGE))
        except (RedisError, OSError) as exc:
            self._lost(exc)
            raise LogUnavailable(
                "runs of other processes cannot be looked up", retry_after_s=EVERY_S
            ) from exc
        if self._is_settling():
            raise LogUnavailable("runs are being looked up again", retry_after_s=SETTLING_S)
        return None

    async def _text_of(self, key: str) -> str:
        try:
            return str(await self._redis.get(key) or "")
        except ResponseError as exc:
            if not str(exc).startswith("WRONGTYPE"):
                raise
            log.warning(_ODD, extra={"event": "run_unreadable"})
            await self._redis.delete(key)
            return ""

    async def live(self) -> None:
        """Signs of life for ever."""
        while True:
            await self.beat()
            await asyncio.sleep(EVERY_S if self._is_up else EVERY_S / 4)

    async def beat(self) -> None:
        """Renew the keys of runs that are being started; tell Redis what it was not told, or has lost."""
        self._own.forget_old()
        try:
            await self._renew()
            if await self._has_lost():
                await self._tell(self._own.newest(self._own.limit))
                self._tells_all = False
            else:
                await self._tell(self._untold.values())
        except (RedisError, OSError) as exc:
            self._lost(exc)
        else:
            self._found_again()

    async def _renew(self) -> None:
        for claim in self._own.starting():
            if not claim.settled.is_set():
                await self._reserved(claim.owner, claim.run, claim.idempotency)

    async def _has_lost(self) -> bool:
        """Whether Redis holds other data than before, or lacks some of the latest runs."""
        await self._redis.set(AGE, uuid4().hex, px=_AGE_KEPT_MS, nx=True)
        self._see(await self._text_of(AGE))
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.pexpire(AGE, _AGE_KEPT_MS)
        for kept in self._own.newest(_LOOKED_AT):
            if kept.run.id not in self._untold:
                pipeline.exists(_run_key(kept.run.id))
        there = await pipeline.execute()
        return self._tells_all or not all(there)

    async def _tell(self, runs: Iterable[Kept]) -> None:
        """Write runs, and the keys that they were asked for with, where they are missing."""
        told = list(runs)
        for start in range(0, len(told), _AT_ONCE):
            pipeline = self._redis.pipeline(transaction=False)
            some = told[start : start + _AT_ONCE]
            for kept in some:
                await self._written(kept, pipeline)
            await pipeline.execute()
            for kept in some:
                self._untold.pop(kept.run.id, None)

    async def _written(self, kept: Kept, pipeline: Any) -> None:
        left_s = kept.since + self._own.retention_s - self._own.clock.monotonic()
        if left_s <= 0:
            return
        text, left_ms = orjson.dumps(kept.run).decode(), int(left_s * 1000) + 1
        pipeline.set(_run_key(kept.run.id), text, px=left_ms)
        if (claim := kept.claim) is not None:
            key = _claim_key(claim.owner, claim.idempotency.key)
            await self._settle(
                keys=[key], args=[kept.run.id, claim.idempotency.body, text, left_ms], client=pipeline
            )

    def _see(self, age: str) -> None:
        """Take in the name of the data that Redis holds: another than before, and some was lost."""
        if self._age and age != self._age:
            log.warning("the shared runs were lost; they are told again", extra={"event": "runs_lost"})
            self._tells_all = True
            self._settle_down()
        self._age = age or self._age

    def _settle_down(self) -> None:
        self._settled_at = self._own.clock.monotonic() + SETTLING_S

    def _is_settling(self) -> bool:
        return self._own.clock.monotonic() < self._settled_at

    def _lost(self, exc: Exception) -> None:
        """Redis does not answer; only a sign of life brings it back, so that no request waits for it."""
        if self._is_up:
            log.warning("the shared runs are away", extra={"event": "runs_away", "reason": str(exc)})
        self._is_up = False

    def _found_again(self) -> None:
        if not self._is_up:
            log.info("the shared runs are back", extra={"event": "runs_back"})
            self._settle_down()
        self._is_up = True


def _read(text: str) -> Run | None:
    """The run that was written; None: it is none of ours, and stops nobody."""
    if not text:
        return None
    try:
        return _RUN.validate_json(text)
    except ValidationError:
        log.warning(_ODD, extra={"event": "run_unreadable"})
        return None


def _might_be_one(run: str) -> bool:
    """Whether an id is worth a question: ours are short and plain."""
    return len(run) <= 64 and run.isascii() and run.isalnum()


def _run_key(run: str) -> str:
    return f"{PREFIX}{{run:{run}}}"


def _claim_key(owner: Owner, key: str) -> str:
    digest = sha256(orjson.dumps([owner.tenant, owner.subject, key])).hexdigest()
    return f"{PREFIX}{{claim:{digest}}}"
