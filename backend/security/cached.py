"""Keys remembered for a moment, so that readers with a key go on while SQL is down."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from backend.core.aio import soon
from backend.core.clock import Clock
from backend.core.errors import StorageUnavailable, Unauthenticated
from backend.core.types import Role
from backend.security.base import Key, KeyStore, NewKey

_PATIENCE_S = 0.5  # for what was known a moment ago and may be believed


@dataclass(frozen=True, slots=True)
class _Seen:
    key: Key
    at: float


class CachedKeys:
    """A key store that remembers what it was told.

    Args:
        fresh_s: For so long a good key is not looked up again: the longest that a revoked key still works on
            another replica.
        stale_s: For so long it is believed when SQL does not answer, which is tried again after `fresh_s`.
        size: Most keys remembered; the longest unused goes first.
    """

    def __init__(
        self, inner: KeyStore, clock: Clock, *, fresh_s: float = 5.0, stale_s: float = 600.0, size: int = 4096
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._size = size
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._exist = False
        self._look_again = clock.monotonic()
        self._looked: float | None = None
        self._silent_until = clock.monotonic()

    async def create(
        self, *, name: str, tenant: str, roles: frozenset[Role], corpora: frozenset[str]
    ) -> NewKey:
        """Make a key."""
        made = await self._inner.create(name=name, tenant=tenant, roles=roles, corpora=corpora)
        self._exist = True
        return made

    async def keys(self) -> Sequence[Key]:
        """All keys ever made, oldest first."""
        return await self._inner.keys()

    async def revoke(self, key_id: str) -> None:
        """Make a key worthless; here at once."""
        await self._inner.revoke(key_id)
        self._seen.clear()

    async def authenticate(self, secret: str) -> Key:
        """The key this text is; remembered under its digest, never as it is."""
        digest = hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
        return await self._remembered(f"secret {digest}", lambda: self._inner.authenticate(secret))

    async def get(self, key_id: str) -> Key:
        """The good key of that id."""
        return await self._remembered(f"id {key_id}", lambda: self._inner.get(key_id))

    async def exist(self) -> bool:
        """Whether any key is good; once one was, this process goes on asking for a credential.

        Another process's first key is seen within `fresh_s`; a request need not wait for SQL to say no.
        """
        now = self._clock.monotonic()
        if not self._exist and now >= self._look_again:
            try:
                asking = self._inner.exist()
                self._exist = await (asking if self._looked is None else soon(_PATIENCE_S, asking))
                self._looked = now
            except (StorageUnavailable, TimeoutError):
                if self._looked is None or now - self._looked >= self._stale_s:
                    raise StorageUnavailable("the database does not answer") from None
            self._look_again = now + self._fresh_s
        return self._exist

    async def _remembered(self, name: str, ask: Callable[[], Coroutine[Any, Any, Key]]) -> Key:
        seen = self._seen.get(name)
        age_s = self._clock.monotonic() - seen.at if seen else self._stale_s
        is_silent = self._clock.monotonic() < self._silent_until
        if seen and age_s < (self._stale_s if is_silent else self._fresh_s):
            self._seen.move_to_end(name)
            return seen.key
        try:
            key = await (soon(_PATIENCE_S, ask()) if seen else ask())
        except Unauthenticated:
            self._seen.pop(name, None)
            raise
        except (StorageUnavailable, TimeoutError):
            self._silent_until = self._clock.monotonic() + self._fresh_s
            if seen and age_s < self._stale_s:
                return seen.key
            raise StorageUnavailable("the database does not answer") from None
        self._seen[name] = _Seen(key, self._clock.monotonic())
        self._seen.move_to_end(name)
        while len(self._seen) > self._size:
            self._seen.popitem(last=False)
        return key
