"""What can be seen of a text."""

from __future__ import annotations

import re
import unicodedata

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_UNSEEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def is_visible(text: str) -> bool:
    """Whether there is anything to read in it: blanks, controls and zero-width marks are nothing."""
    return not all(char.isspace() or unicodedata.category(char) in _UNSEEN for char in text)


def storable(text: str) -> str:
    """`text` as every database takes it: NUL and lone surrogates become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)
