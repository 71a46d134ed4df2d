"""A notes in Redis: a hash per kind, compared and set; what Redis forgets is told again."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from backend.core.errors import SlotsUnavailable
from backend.pool.shared_notes.base import Change, Note
from backend.pool.shared_notes.memory import MemoryNotes

log = logging.getLogger(__name__)

PREFIX = "libri:{pool}:notes"
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
        said = _object(text)
        born, count = said.get("born"), said.get("count")
        return cls(born, count) if isinstance(born, str) and isinstance(count, int) else None


@dataclass(slots=True, eq=False)
class _Wanted:
    """A change that somebody waits for, and what came of it."""

    change: Change
    note: Note | None = None
    failure: SlotsUnavailable | None = None


@dataclass(slots=True)
class _Line:
    """The changes of one note that wait in this process; who has the turn makes all of them."""

    wanted: list[_Wanted] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class RedisNotes:
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
        folder = files("backend.pool.shared_notes") / "lua"
        self.copy = MemoryNotes()
        self._redis = redis
        self._process = process
        self._versions: dict[str, _Version] = {}
        self._lines: dict[tuple[str, str], _Line] = {}
        self._change, self._retell, self._lead = (
            redis.register_script((folder / f"{name}.lua").read_text("utf-8"))
            for name in ("change", "retell", "lead")
        )

    async def read(self, kind: str) -> dict[str, Note]:
        """See `SharedNotes.read`."""
        for _ in range(_TRIES):
            said: dict[str, str] = await self._asked(kind, self._redis.hgetall(_key(kind)), {})
            version = said.pop(VERSION, "")
            notes: dict[str, Note] = {
                str(name): note for name, text in said.items() if (note := _object(text))
            }
            if self._goes_on(kind, version):
                self._take(kind, notes, version)
                return notes
            await self._tell_again(kind, notes, version)
        raise SlotsUnavailable("the shared notes change too often")

    async def change(self, kind: str, name: str, change: Change) -> Note | None:
        """See `SharedNotes.change`; all changes of a note that wait in this process are made in one step."""
        line = self._lines.setdefault((kind, name), _Line())
        wanted = _Wanted(change)
        line.wanted.append(wanted)
        try:
            async with line.turn:
                if wanted in line.wanted:
                    await self._change_all(kind, name, line)
        finally:
            if wanted in line.wanted:
                line.wanted.remove(wanted)
            if not line.wanted:
                self._lines.pop((kind, name), None)
        if wanted.failure is not None:
            raise wanted.failure
        return wanted.note

    async def _change_all(self, kind: str, name: str, line: _Line) -> None:
        """Make the changes that wait, in their order; what keeps one of them from being made keeps all."""
        some, failure = tuple(line.wanted), None
        try:
            await self._changed(kind, name, some)
        except SlotsUnavailable as exc:
            failure = exc
        for wanted in some:
            wanted.failure = failure
            line.wanted.remove(wanted)

    async def _changed(self, kind: str, name: str, some: Sequence[_Wanted]) -> None:
        for _ in range(_TRIES):
            asked = self._redis.hmget(_key(kind), [name, VERSION])
            was, version = await self._asked(kind, asked, [None, None])
            if not self._goes_on(kind, version or ""):
                await self.read(kind)
                continue
            note: Note | None = _object(was or "") or None
            for wanted in some:
                note = wanted.note = wanted.change(note)
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
            return
        raise SlotsUnavailable("a shared note changes too often")

    async def lead(self, task: str, for_s: float) -> bool:
        """See `SharedNotes.lead`."""
        with _translated():
            return bool(
                await self._lead(keys=[f"{PREFIX}:lead:{task}"], args=[self._process, int(for_s * 1000)])
            )

    async def _asked(self, kind: str, answer: Awaitable[Any], nothing: Any) -> Any:
        """The answer; what is no hash of notes is taken away, as if Redis had lost it."""
        with _translated():
            try:
                return await answer
            except ResponseError as exc:
                if not str(exc).startswith("WRONGTYPE"):
                    raise
                log.warning("what is no note is taken away", extra={"event": "note_unreadable", "kind": kind})
                await self._redis.delete(_key(kind))
                return nothing

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


def _object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in a text; an empty one if it holds none: whoever wrote it, no process stops at it."""
    try:
        said = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _key(kind: str) -> str:
    return f"{PREFIX}:{kind}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as exc:
        raise SlotsUnavailable("the shared notes do not answer") from exc
