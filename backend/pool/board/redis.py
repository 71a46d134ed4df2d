"""A board in Redis: a hash per kind, compared and set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from redis.asyncio import Redis
from redis.exceptions import RedisError

from backend.core.errors import SlotsUnavailable
from backend.pool.board.base import Change, Note

PREFIX = "libri:{pool}:board"
_TRIES = 50


class RedisBoard:
    """Notes shared by all processes that use one Redis.

    Args:
        redis: Fails fast, as `infra.redis.open_redis` makes it.
        process: Unique name of this process.
    """

    def __init__(self, redis: Redis, *, process: str) -> None:
        folder = files("backend.pool.board") / "lua"
        self._redis = redis
        self._process = process
        self._change = redis.register_script((folder / "change.lua").read_text("utf-8"))
        self._lead = redis.register_script((folder / "lead.lua").read_text("utf-8"))

    async def read(self, kind: str) -> dict[str, Note]:
        """See `Board.read`."""
        with _translated():
            notes = await self._redis.hgetall(f"{PREFIX}:{kind}")
        return {str(name): json.loads(note) for name, note in notes.items()}

    async def change(self, kind: str, name: str, change: Change) -> Note | None:
        """See `Board.change`."""
        key = f"{PREFIX}:{kind}"
        for _ in range(_TRIES):
            with _translated():
                was = await self._redis.hget(key, name) or ""
                note = change(json.loads(was) if was else None)
                new = "" if note is None else json.dumps(note)
                if new == was or await self._change(keys=[key], args=[name, was, new]):
                    return note
        raise SlotsUnavailable("a shared note changes too often")

    async def lead(self, task: str, for_s: float) -> bool:
        """See `Board.lead`."""
        with _translated():
            return bool(
                await self._lead(keys=[f"{PREFIX}:lead:{task}"], args=[self._process, int(for_s * 1000)])
            )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as exc:
        raise SlotsUnavailable("the shared notes do not answer") from exc
