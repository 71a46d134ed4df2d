"""What an uploaded file may be called."""

from __future__ import annotations

import re
import unicodedata

from backend.core.errors import InvalidRequest

MAX_CHARS = 200
MAX_DEPTH = 16
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_DRIVE = re.compile(r"^[A-Za-z]:")


def safe_name(name: str) -> str:
    """The name under which a document is kept: a relative path with `/`, NFC, no `.` or `..` parts.

    Harmless oddities are mended (backslashes, doubled slashes, spaces at the ends of a part, a path that a
    browser made absolute, decomposed accents). What is meant to deceive or cannot be shown is refused.

    Raises:
        InvalidRequest: Empty, over 200 characters or 16 folders, a `..` part, NUL, a control, invisible or
            unpaired character, or a device name of Windows.
    """
    name = unicodedata.normalize("NFC", name)
    if any(unicodedata.category(char) in _UNSEEN for char in name):
        raise InvalidRequest("the file name holds a control or invisible character")
    parts = [part.strip() for part in _DRIVE.sub("", name.replace("\\", "/")).split("/")]
    parts = [part for part in parts if part not in ("", ".")]
    if not parts:
        raise InvalidRequest("the file has no name")
    if ".." in parts:
        raise InvalidRequest("the file name leaves its folder")
    if any(_RESERVED.match(part) for part in parts):
        raise InvalidRequest("the file name is reserved")
    if len(kept := "/".join(parts)) > MAX_CHARS or len(parts) > MAX_DEPTH:
        raise InvalidRequest(f"the file name is longer than {MAX_CHARS} characters or {MAX_DEPTH} folders")
    return kept
