"""The server's secret, from which each purpose gets a key of its own."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

Purpose = Literal["cookies", "operator", "instances"]


@dataclass(frozen=True, slots=True, repr=False)
class ServerSecret:
    """What all replicas share: `newest` signs; what `earlier` ones signed is believed during a rotation."""

    newest: bytes
    earlier: tuple[bytes, ...] = ()

    @property
    def every(self) -> tuple[bytes, ...]:
        """All of them, the newest first."""
        return (self.newest, *self.earlier)

    def keys(self, purpose: Purpose) -> tuple[bytes, ...]:
        """The keys for `purpose` (32 bytes each), the newest first."""
        return tuple(derive(secret, purpose) for secret in self.every)


def derive(secret: bytes, purpose: Purpose) -> bytes:
    """A key (32 bytes) that tells nothing of the secret, nor of the keys for other purposes."""
    return hmac.new(secret, b"libriassist " + purpose.encode(), hashlib.sha256).digest()
