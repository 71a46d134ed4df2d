"""API keys as commands make, list and revoke them: by the database's driver alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from backend.core.clock import Clock
from backend.core.errors import NotFound
from backend.core.text import storable
from backend.core.types import Role
from backend.infra.driver import Driver
from backend.security.base import Key, NewKey
from backend.security.keys import known_roles, new_key

_COLUMNS = "id, name, tenant, roles, corpora, created, revoked"


class PlainKeys:
    """The same table as `SqlKeys`, as far as a `Keyring` goes.

    Args:
        driver: Of a database whose tables are up to date.
    """

    def __init__(self, driver: Driver, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock

    async def create(
        self, *, name: str, tenant: str, roles: frozenset[Role], corpora: frozenset[str]
    ) -> NewKey:
        """Make a key; only its digest is stored."""
        new, digest = new_key(name, tenant, roles, corpora, created=self._clock.now())
        await self._driver.rows(
            "INSERT INTO security_keys (id, name, tenant, roles, corpora, created, mac) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            new.key.id,
            name,
            tenant,
            json.dumps(sorted(roles)),
            json.dumps(sorted(corpora)),
            new.key.created,
            digest,
        )
        return new

    async def keys(self) -> Sequence[Key]:
        """All keys ever made, oldest first."""
        rows = await self._driver.rows(f"SELECT {_COLUMNS} FROM security_keys ORDER BY created, id")  # noqa: S608
        return [_key(*row) for row in rows]

    async def revoke(self, key_id: str) -> None:
        """Make a key worthless."""
        id = storable(key_id)
        if not await self._driver.rows("SELECT id FROM security_keys WHERE id = $1", id):
            raise NotFound("no such key")
        await self._driver.rows(
            "UPDATE security_keys SET revoked = $1 WHERE id = $2 AND revoked IS NULL", self._clock.now(), id
        )


def _key(
    id: str, name: str, tenant: str, roles: str, corpora: str, created: float, revoked: float | None
) -> Key:
    corpora_read: Any = json.loads(corpora)
    return Key(id, name, tenant, known_roles(json.loads(roles)), frozenset(corpora_read), created, revoked)
