"""Secrets that pass through a store others may read: encrypted and authenticated, or not readable at all."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Seal:
    """Seals texts so that only processes with the same secret read them.

    Source: the Fernet token, AES-128 in CBC mode with HMAC-SHA-256.

    Args:
        keys: 32 bytes each, made for this purpose alone; the first seals, all of them open, so that one can
            be replaced by another.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in keys])

    def seal(self, text: str) -> str:
        """`text`, for the shared store."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, token: str) -> str:
        """The text that was sealed.

        Raises:
            ValueError: It was sealed with another secret, or changed since.
        """
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except (InvalidToken, UnicodeError) as exc:
            raise ValueError("sealed with another secret, or damaged") from exc
