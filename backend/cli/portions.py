"""Files of a command line, in portions that the running server takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from backend.core.errors import InvalidRequest
from backend.ingest.folder import Found, files_below
from backend.ingest.parse.names import safe_name

_PORTION_BYTES = 16 * 1024**2
_PORTION_FILES = 50
_MARGIN_BYTES = 64 * 1024
"""What a request holds besides the files."""


def portions(
    paths: Sequence[Path], max_bytes: int, refused: list[dict[str, Any]]
) -> Iterator[list[tuple[str, bytes]]]:
    """Files that fit into one request each time; what cannot be sent is appended to `refused`."""
    portion: list[tuple[str, bytes]] = []
    max_bytes -= _MARGIN_BYTES
    room = min(_PORTION_BYTES, max_bytes)
    for found in files_below(paths, max_bytes=max_bytes):
        data, refusal = _read(found)
        if refusal:
            refused.append({"name": found.name, "state": "failed", "reason": refusal, "passages": 0})
            continue
        if portion and (len(portion) >= _PORTION_FILES or len(data) > room):
            yield portion
            portion, room = [], min(_PORTION_BYTES, max_bytes)
        portion.append((found.name, data))
        room -= len(data)
    if portion:
        yield portion


def _read(found: Found) -> tuple[bytes, str]:
    """The bytes, or why there are none."""
    if found.refusal:
        return b"", found.refusal
    try:
        safe_name(found.name)
        return found.path.read_bytes(), ""
    except OSError as exc:
        return b"", exc.strerror or "it cannot be opened"
    except InvalidRequest as exc:
        return b"", exc.message
