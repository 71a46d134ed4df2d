"""The signed cookie that makes a browser a subject."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer

from backend.core.clock import Clock
from backend.security.server_secret import ServerSecret

_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says.

    Attributes:
        subject: Random per browser.
        credential: What it was given for: id of a key, or "" where none was asked for.
        expires: Epoch seconds.
        is_newest: Signed by the newest secret.
    """

    subject: str
    credential: str
    expires: float
    is_newest: bool = True


class Cookies:
    """Issues and reads session cookies; they cannot be made without `secret`.

    Args:
        secret: The same on every replica; its newest entry signs, and what earlier ones signed is read.
        ttl_s: Life of a cookie, in seconds.
    """

    def __init__(self, clock: Clock, *, secret: ServerSecret, ttl_s: float) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        newest, *earlier = secret.keys("cookies")
        self._signer = _signer(newest)
        # Releases before docs/adr/0019 signed with the secret itself; a lost cookie is a lost history.
        self._earlier = tuple(_signer(key) for key in (*earlier, *secret.every))

    def issue(self, *, credential: str = "", subject: str = "") -> str:
        """A cookie's value, for a new subject if none is named."""
        subject = subject or f"browser-{secrets.token_urlsafe(16)}"
        return str(self._signer.dumps([subject, credential, self._clock.now() + self._ttl_s]))

    def read(self, value: str) -> Session | None:
        """What the cookie says; None if it is forged, damaged or too old."""
        if len(value) > _LONGEST:
            return None
        if (session := _read(self._signer, value, is_newest=True)) is None:
            found = (_read(signer, value, is_newest=False) for signer in self._earlier)
            session = next((one for one in found if one is not None), None)
        return session if session and self._clock.now() < session.expires else None

    def is_ageing(self, session: Session) -> bool:
        """Whether to issue it again: more than half of its life is over, or an earlier secret signed it."""
        return not session.is_newest or session.expires - self._clock.now() < self._ttl_s / 2


def _signer(key: bytes) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt="libri_session", signer_kwargs={"digest_method": hashlib.sha256})


def _read(signer: URLSafeSerializer, value: str, *, is_newest: bool) -> Session | None:
    try:
        subject, credential, expires = signer.loads(value)
    except (BadData, ValueError, TypeError):
        return None
    return Session(subject, credential, expires, is_newest)
