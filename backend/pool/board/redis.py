"""A board in Redis: a hash per kind, compared and set; what Redis forgets is told again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from backend.core.errors import SlotsUnavailable
from backend.pool.board.base import Change, Note
from backend.pool.board.memory import MemoryBoard

log = logging.getLogger(__name__)

PREFIX = "libri:{pool}:board"
VERSION = ""
"""The field of a hash that is no note."""
_TRIES = 50


@dataclass(frozen=True, slots=True)
class _Version:
    """Which notes of a kind these are: every change counts, and one who tells them anew gives a new name."""

    born: str
    count: int = 0

    @classmethod
    def read(cls, text: str | bytes) -> _Version | None:
        said = json.loads(text) if text else None
        return cls(str(said["born"]), int(said["count"])) if said else None


class RedisBoard:
    """Notes shared by all processes that use one Redis.

    Redis may come back empty, or with what it saved some time ago, and may drop a hash when its memory is
    full. Whoever sees a version that is not a later one of what it knew tells what it knows again.

    Args:
        redis: Fails fast, as `infra.redis.open_redis` makes it.
        process: Unique name of this process.

    Attributes:
        copy: What this process knows of the notes.
    """

    def __init__(self, redis: Redis, *, process: str) -> None:
        folder = files("backend.pool.board") / "lua"
        self.copy = MemoryBoard()
        self._redis = redis
        self._process = process
        self._versions: dict[str, _Version] = {}
        self._change, self._retell, self._lead = (
            redis.register_script((folder / f"{name}.lua").read_text("utf-8"))
            for name in ("change", "retell", "lead")
        )

    async def read(self, kind: str) -> dict[str, Note]:
        """See `Board.read`."""
        for _ in range(_TRIES):
            with _translated():
                said = await self._redis.hgetall(_key(kind))
            version = said.pop(VERSION, "")
            notes = {str(name): json.loads(note) for name, note in said.items()}
            if self._goes_on(kind, version):
                self._take(kind, notes, version)
                return notes
            await self._tell_again(kind, notes, version)
        raise SlotsUnavailable("the shared notes change too often")

    async def change(self, kind: str, name: str, change: Change) -> Note | None:
        """See `Board.change`."""
        for _ in range(_TRIES):
            with _translated():
                was, version = await self._redis.hmget(_key(kind), [name, VERSION])
            if not self._goes_on(kind, version or ""):
                await self.read(kind)
                continue
            note = change(json.loads(was) if was else None)
            new = "" if note is None else json.dumps(note)
            if new != (was or ""):
                born = _Version.read(version or "")
                given = [name, was or "", new, born.born if born else "", uuid4().hex]
                with _translated():
                    version = await self._change(keys=[_key(kind)], args=given)
                if not version:
                    continue
            await self.copy.change(kind, name, lambda _, note=note: note)  # type: ignore[misc]
            self._remember(kind, version or "")
            return note
        raise SlotsUnavailable("a shared note changes too often")

    async def lead(self, task: str, for_s: float) -> bool:
        """See `Board.lead`."""
        with _translated():
            return bool(
                await self._lead(keys=[f"{PREFIX}:lead:{task}"], args=[self._process, int(for_s * 1000)])
            )

    def _goes_on(self, kind: str, said: str | bytes) -> bool:
        """Whether the notes that Redis has are those that this process knew, or later ones."""
        known, version = self._versions.get(kind), _Version.read(said)
        if known is None:
            return not self.copy.holds(kind)
        return version is not None and version.born == known.born and version.count >= known.count

    async def _tell_again(self, kind: str, notes: Mapping[str, Note], said: str | bytes) -> None:
        """Redis has lost all notes, or the latest. Where others have told theirs, these are added to them."""
        version, known = _Version.read(said), await self.copy.read(kind)
        before = self._versions.get(kind)
        if version and (before is None or version.born != before.born):
            known = {name: {**known.get(name, {}), **notes.get(name, {})} for name in {*known, *notes}}
            new = _Version(version.born, version.count + 1)
        else:
            new = _Version(uuid4().hex)
        told = [part for name, note in known.items() for part in (name, json.dumps(note))]
        with _translated():
            done = await self._retell(keys=[_key(kind)], args=[said, json.dumps(asdict(new)), *told])
        if done:
            log.warning("the shared notes were lost; they are told again", extra={"kind": kind})
            self._versions[kind] = new

    def _take(self, kind: str, notes: dict[str, Note], version: str | bytes) -> None:
        self.copy.copy_from(kind, notes)
        self._remember(kind, version)

    def _remember(self, kind: str, said: str | bytes) -> None:
        if version := _Version.read(said):
            self._versions[kind] = version


def _key(kind: str) -> str:
    return f"{PREFIX}:{kind}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as exc:
        raise SlotsUnavailable("the shared notes do not answer") from exc
