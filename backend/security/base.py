"""The port of API keys: who a key stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.core.types import Principal, Role


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it may be listed: everything but its secret.

    Attributes:
        id: Public half of the key; the subject of its principal is made of it.
        name: What the operator calls it.
        created: Epoch seconds; `revoked` likewise, None while the key is good.
    """

    id: str
    name: str
    tenant: str
    roles: frozenset[Role]
    corpora: frozenset[str]
    created: float
    revoked: float | None = None

    @property
    def principal(self) -> Principal:
        """Who asks with this key."""
        return Principal(self.tenant, f"key-{self.id}", self.roles, self.corpora)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; `secret` is the whole text to hand over, and is kept nowhere."""

    key: Key
    secret: str

    def __repr__(self) -> str:
        """Without the secret."""
        return f"NewKey({self.key.id})"


class Keyring(Protocol):
    """Keys of all tenants, as an operator deals with them."""

    async def create(
        self, *, name: str, tenant: str, roles: frozenset[Role], corpora: frozenset[str]
    ) -> NewKey:
        """Make a key.

        Raises:
            InvalidRequest: No role, or a name that is empty or longer than 100 characters.
            StorageUnavailable
        """

    async def keys(self) -> Sequence[Key]:
        """All keys ever made, oldest first, revoked ones too."""

    async def revoke(self, key_id: str) -> None:
        """Make a key worthless; doing it twice is once.

        Raises:
            NotFound: No such key.
            StorageUnavailable
        """


class KeyStore(Keyring, Protocol):
    """Keys of all tenants, shared by all replicas."""

    async def authenticate(self, secret: str) -> Key:
        """The key this text is.

        Raises:
            Unauthenticated: Not a key of ours, or revoked.
            StorageUnavailable
        """

    async def get(self, key_id: str) -> Key:
        """The good key of that id, for a cookie that was given for it.

        Raises:
            Unauthenticated: No such key, or revoked.
            StorageUnavailable
        """

    async def exist(self) -> bool:
        """Whether any key is good, so that a credential is required."""
