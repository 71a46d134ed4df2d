"""Files of a command line, in portions that the running server takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from backend.core.errors import InvalidRequest
from backend.ingest.folder import read
from backend.ingest.plan import Entry

_PORTION_BYTES = 16 * 1024**2
_PORTION_FILES = 50
_MARGIN_BYTES = 64 * 1024
"""What a request holds besides the files and their names."""

Portion = list[tuple[Entry, bytes]]


def portions(files: Sequence[Entry], max_bytes: int, refused: list[dict[str, Any]]) -> Iterator[Portion]:
    """Files that fit into one request each time; what cannot be sent is appended to `refused`."""
    portion: Portion = []
    max_bytes -= _MARGIN_BYTES
    room = min(_PORTION_BYTES, max_bytes)
    for entry in files:
        named = len(entry.name) + len(entry.origin)
        data, refusal = _read(entry, max_bytes - named)
        if refusal:
            refused.append({"name": entry.name, "state": "failed", "reason": refusal, "passages": 0})
            continue
        size = len(data) + named
        if portion and (len(portion) >= _PORTION_FILES or size > room):
            yield portion
            portion, room = [], min(_PORTION_BYTES, max_bytes)
        portion.append((entry, data))
        room -= size
    if portion:
        yield portion


def _read(entry: Entry, max_bytes: int) -> tuple[bytes, str]:
    """The bytes, or why there are none."""
    if entry.refusal:
        return b"", entry.refusal
    try:
        return read(entry.path, max_bytes=max_bytes), ""
    except OSError as exc:
        return b"", exc.strerror or "it cannot be opened"
    except InvalidRequest as exc:
        return b"", exc.message
