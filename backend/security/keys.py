"""What a key looks like and how it is kept: `libri_<id>_<secret>`, HMAC-SHA-256 at rest."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from backend.core.errors import InvalidRequest
from backend.core.types import Role

_FORM = re.compile(r"libri_([0-9a-f]{16})_[0-9a-f]{64}")
NAME_CHARS = 100


def new_id() -> str:
    """The public half of a new key."""
    return secrets.token_hex(8)


def new_secret(key_id: str) -> str:
    """A key's whole text, with 256 random bits."""
    return f"libri_{key_id}_{secrets.token_hex(32)}"


def id_in(secret: str) -> str | None:
    """The id that a key's text names; None if it is no key of ours."""
    match = _FORM.fullmatch(secret)
    return match[1] if match else None


def mac(pepper: bytes, secret: str) -> str:
    """What is stored of a key: worthless without the server's `pepper`."""
    return hmac.new(pepper, secret.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def same(stored: str, presented: str) -> bool:
    """Whether two digests agree, in a time that tells nothing."""
    return hmac.compare_digest(stored.encode(), presented.encode())


def derive(secret: bytes, purpose: str) -> bytes:
    """A key of its own for each purpose (32 bytes), from the one server secret."""
    return hmac.new(secret, b"libriassist " + purpose.encode(), hashlib.sha256).digest()


def check_new(name: str, roles: frozenset[Role]) -> None:
    """Refuse a key that nobody could recognise or use.

    Raises:
        InvalidRequest
    """
    if not name.strip() or len(name) > NAME_CHARS or not name.isprintable():
        raise InvalidRequest(f"a key's name has 1 to {NAME_CHARS} printable characters")
    if not roles:
        raise InvalidRequest("a key has at least one role")
