"""The signed cookie that makes a browser a subject."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer

from backend.core.clock import Clock

_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says.

    Attributes:
        subject: Random per browser.
        credential: What it was given for: id of a key, or "" where none was asked for.
        expires: Epoch seconds.
    """

    subject: str
    credential: str
    expires: float


class Cookies:
    """Issues and reads session cookies; they cannot be made without `secret`.

    Args:
        secret: Server secret, the same on every replica.
        ttl_s: Life of a cookie, in seconds.
    """

    def __init__(self, clock: Clock, *, secret: bytes, ttl_s: float) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        self._signer = URLSafeSerializer(
            secret, salt="libri_session", signer_kwargs={"digest_method": hashlib.sha256}
        )

    def issue(self, *, credential: str = "", subject: str = "") -> str:
        """A cookie's value, for a new subject if none is named."""
        subject = subject or f"browser-{secrets.token_urlsafe(16)}"
        return str(self._signer.dumps([subject, credential, self._clock.now() + self._ttl_s]))

    def read(self, value: str) -> Session | None:
        """What the cookie says; None if it is forged, damaged or too old."""
        if len(value) > _LONGEST:
            return None
        try:
            subject, credential, expires = self._signer.loads(value)
        except (BadData, ValueError, TypeError):
            return None
        return Session(subject, credential, expires) if self._clock.now() < expires else None

    def is_ageing(self, session: Session) -> bool:
        """Whether more than half of its life is over, so that it may be issued again."""
        return session.expires - self._clock.now() < self._ttl_s / 2
