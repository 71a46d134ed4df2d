"""Files below paths that a person names on the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.core.errors import NotFound
from backend.ingest.parse.detect import KINDS_READ, SUFFIXES


@dataclass(frozen=True, slots=True)
class Found:
    """A file.

    Attributes:
        name: Relative to the path that was named, with `/`.
        refusal: Why it is not read; "" if it is.
    """

    name: str
    path: Path
    refusal: str


def files_below(paths: Sequence[Path], *, max_bytes: int) -> Iterator[Found]:
    """Files in a stable order; hidden ones are passed over, links that leave their folder are not followed.

    Raises:
        NotFound: A path names nothing.
    """
    seen: set[str] = set()
    for root in paths:
        if not root.exists():
            raise NotFound(f"{root} is not there")
        for path in _walk(root):
            name = path.relative_to(root if root.is_dir() else root.parent).as_posix()
            shown = name.encode("utf-8", "replace").decode()
            twice = "another file of this name comes first" if name in seen else ""
            seen.add(name)
            yield Found(shown, path, twice or _checked(path, root, max_bytes))


def _walk(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        yield root
        return
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _checked(path: Path, root: Path, max_bytes: int) -> str:
    try:
        return _refusal(path, root, max_bytes)
    except OSError as exc:
        return exc.strerror or "it cannot be opened"


def _refusal(path: Path, root: Path, max_bytes: int) -> str:
    if path.suffix.lower() not in SUFFIXES:
        return KINDS_READ
    if root.is_dir() and not path.resolve().is_relative_to(root.resolve()):
        return "a link that leaves the folder"
    if not path.is_file():
        return "not a file"
    return f"larger than {max_bytes // 1024**2} MB" if path.stat().st_size > max_bytes else ""
