"""API keys in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Row, Update, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core.clock import Clock
from backend.core.errors import NotFound, StorageFull, StorageUnavailable, Unauthenticated
from backend.core.text import storable
from backend.core.types import Role
from backend.infra.sql import soon, transaction
from backend.security.base import Key, NewKey
from backend.security.keys import (
    agrees,
    digest,
    id_in,
    is_peppered,
    known_roles,
    new_key,
)
from backend.security.tables import keys

_UNKNOWN = "this key is not known"


class SqlKeys:
    """The key store over one engine.

    Args:
        engine: Opened by `infra.sql.open_engine`; its tables exist.
        peppers: Server secrets under which earlier releases stored digests; a key that is shown gets a digest
            that needs none. New keys do not depend on them.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, *, peppers: Sequence[bytes] = ()) -> None:
        self._engine = engine
        self._clock = clock
        self._peppers = tuple(peppers)

    async def create(
        self, *, name: str, tenant: str, roles: frozenset[Role], corpora: frozenset[str]
    ) -> NewKey:
        """Make a key; only its digest is stored."""
        new, stored = new_key(name, tenant, roles, corpora, created=self._clock.now())
        row = {
            "id": new.key.id,
            "name": name,
            "tenant": tenant,
            "roles": sorted(roles),
            "corpora": sorted(corpora),
            "digest": stored,
            "created": new.key.created,
        }
        async with transaction(self._engine) as connection:
            await connection.execute(insert(keys).values(row))
        return new

    async def keys(self) -> Sequence[Key]:
        """All keys ever made, oldest first."""
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(select(keys).order_by(keys.c.created, keys.c.id))).all()
        return [_key(row) for row in rows]

    async def revoke(self, key_id: str) -> None:
        """Make a key worthless."""
        when = func.coalesce(keys.c.revoked, self._clock.now())
        change = update(keys).where(keys.c.id == storable(key_id)).values(revoked=when)
        async with transaction(self._engine) as connection:
            if not (await connection.execute(change)).rowcount:
                raise NotFound("no such key")

    async def authenticate(self, secret: str) -> Key:
        """The key this text is."""
        key_id = id_in(secret)
        row = await soon(self._row(key_id)) if key_id else None
        # An unknown id costs the same digest and comparison as a known one.
        stored = row.digest if row else digest("")
        if not agrees(stored, secret, self._peppers) or row is None:
            raise Unauthenticated(_UNKNOWN)
        key = _good(row)
        if is_peppered(stored):
            await self._keep_without_pepper(key.id, stored, secret)
        return key

    async def get(self, key_id: str) -> Key:
        """The good key of that id."""
        row = await soon(self._row(storable(key_id)))
        if row is None:
            raise Unauthenticated(_UNKNOWN)
        return _good(row)

    async def exist(self) -> bool:
        """Whether any key is good."""
        return await soon(self._exist())

    async def _exist(self) -> bool:
        async with transaction(self._engine) as connection:
            return bool(await connection.scalar(select(exists().where(keys.c.revoked.is_(None)))))

    async def _keep_without_pepper(self, key_id: str, stored: str, secret: str) -> None:
        """Replace a digest of an earlier release; if SQL cannot, the next time will do."""
        change = (
            update(keys).where(keys.c.id == key_id, keys.c.digest == stored).values(digest=digest(secret))
        )
        with suppress(StorageUnavailable, StorageFull):
            await soon(self._write(change))

    async def _write(self, change: Update) -> None:
        async with transaction(self._engine) as connection:
            await connection.execute(change)

    async def _row(self, key_id: str) -> Row[Any] | None:
        async with transaction(self._engine) as connection:
            return (await connection.execute(select(keys).where(keys.c.id == key_id))).first()


def _key(row: Row[Any]) -> Key:
    roles = known_roles(row.roles)
    return Key(row.id, row.name, row.tenant, roles, frozenset(row.corpora), row.created, row.revoked)


def _good(row: Row[Any]) -> Key:
    if row.revoked is not None:
        raise Unauthenticated(_UNKNOWN)
    return _key(row)
