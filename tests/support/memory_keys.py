"""Keys in memory, with a switch that takes the database away."""

from collections.abc import Sequence
from dataclasses import replace

from backend.core.clock import Clock
from backend.core.errors import NotFound, StorageUnavailable, Unauthenticated
from backend.core.types import Role
from backend.security.base import Key, NewKey
from backend.security.keys import check_new, id_in, new_id, new_secret


class MemoryKeys:
    """The key store; `is_down` makes every call fail, `calls` counts them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._secrets: dict[str, str] = {}
        self.is_down = False
        self.calls = 0

    def _ask(self) -> None:
        self.calls += 1
        if self.is_down:
            raise StorageUnavailable("the database does not answer")

    async def create(
        self, *, name: str, tenant: str, roles: frozenset[Role], corpora: frozenset[str]
    ) -> NewKey:
        self._ask()
        check_new(name, roles)
        key = Key(new_id(), name, tenant, roles, corpora, self._clock.now())
        self._keys[key.id] = key
        self._secrets[key.id] = new_secret(key.id)
        return NewKey(key, self._secrets[key.id])

    async def keys(self) -> Sequence[Key]:
        self._ask()
        return list(self._keys.values())

    async def revoke(self, key_id: str) -> None:
        self._ask()
        if key_id not in self._keys:
            raise NotFound("no such key")
        self._keys[key_id] = replace(
            self._keys[key_id], revoked=self._keys[key_id].revoked or self._clock.now()
        )

    async def authenticate(self, secret: str) -> Key:
        self._ask()
        key_id = id_in(secret)
        if key_id is None or self._secrets.get(key_id) != secret:
            raise Unauthenticated("this key is not known")
        return await self.get(key_id)

    async def get(self, key_id: str) -> Key:
        self._ask()
        key = self._keys.get(key_id)
        if key is None or key.revoked is not None:
            raise Unauthenticated("this key is not known")
        return key

    async def exist(self) -> bool:
        self._ask()
        return any(key.revoked is None for key in self._keys.values())
