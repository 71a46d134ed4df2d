"""What a key looks like: `libri_<id>_<secret>`; of it SQL holds a SHA-256 (docs/adr/0019)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterable

from backend.core.errors import InvalidRequest
from backend.core.types import Role
from backend.security.base import Key, NewKey

_KIND = "sha256:"
_FORM = re.compile(r"libri_([0-9a-f]{16})_[0-9a-f]{64}")
NAME_CHARS = 100


def new_key(
    name: str, tenant: str, roles: frozenset[Role], corpora: frozenset[str], *, created: float
) -> tuple[NewKey, str]:
    """A key just made, and what is stored of its secret.

    Raises:
        InvalidRequest
    """
    check_new(name, roles)
    id = new_id()
    secret = new_secret(id)
    return NewKey(Key(id, name, tenant, roles, corpora, created), secret), digest(secret)


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


def digest(secret: str) -> str:
    """What is stored of a key. It needs no pepper: nobody finds 256 random bits by trying."""
    found = hashlib.sha256(secret.encode("utf-8", "replace")).digest()
    return _KIND + urlsafe_b64encode(found).decode().rstrip("=")


def agrees(stored: str, secret: str, peppers: Iterable[bytes] = ()) -> bool:
    """Whether `stored` is of this key; `peppers` are those of releases before docs/adr/0019."""
    if not is_peppered(stored):
        return same(stored, digest(secret))
    return any(same(stored, mac(pepper, secret)) for pepper in peppers)


def is_peppered(stored: str) -> bool:
    """Whether this digest is worth nothing without the server's secret of then."""
    return not stored.startswith(_KIND)


def mac(key: bytes, text: str) -> str:
    """HMAC-SHA-256 of `text`, in hexadecimal."""
    return hmac.new(key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def same(stored: str, presented: str) -> bool:
    """Whether two digests agree, in a time that tells nothing."""
    return hmac.compare_digest(stored.encode(), presented.encode())


def check_new(name: str, roles: frozenset[Role]) -> None:
    """Refuse a key that nobody could recognise or use.

    Raises:
        InvalidRequest
    """
    if not name.strip() or len(name) > NAME_CHARS or not name.isprintable():
        raise InvalidRequest(f"a key's name has 1 to {NAME_CHARS} printable characters")
    if not roles:
        raise InvalidRequest("a key has at least one role")


def known_roles(names: object) -> frozenset[Role]:
    """The roles that a stored key names; those of a newer release, and what is no role, grant nothing."""
    found = {str(name).casefold() for name in names} if isinstance(names, list) else set()
    return frozenset(role for role in Role if role.value in found)
