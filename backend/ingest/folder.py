"""Files below paths that a person names on the command line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from backend.core.errors import InvalidRequest, NotFound
from backend.ingest.parse.detect import KINDS_READ, SKIPPED_SUFFIXES, SUFFIXES

NO_DOCUMENT: Final = "not a document"
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or a folder that is not entered.

    Attributes:
        name: Relative to the root, with `/`.
        path: Below the root's real place; of a link, the link's own.
        root: The folder that was named, or that of the file that was, at its real place.
        refusal: Why it is not read; "" if it is.
        aside: It is no document, so nothing is lost by not reading it.
    """

    name: str
    path: Path
    root: Path
    refusal: str = ""
    aside: bool = False

    @property
    def origin(self) -> str:
        """As `Document.origin`; bytes that are no text are kept."""
        return self.path.as_uri()


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies below the paths that were named, each file once, in a stable order.

    Attributes:
        folders: Those that were named, at their real places.
        closed: Folders that could not be read, and links not followed: what lies below is not known.
    """

    found: list[Found] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)


def survey(paths: Sequence[Path], *, max_bytes: int) -> Survey:
    """Look at everything below `paths`; hidden files are passed over, no link is followed out of its folder.

    Raises:
        NotFound: A path names nothing.
    """
    made, seen = Survey(), set[Path]()
    for path in paths:
        if not path.exists():
            raise NotFound(f"{path} is not there")
        for found in _below(path, made, max_bytes) if path.is_dir() else [_alone(path, max_bytes)]:
            if found.path not in seen:
                seen.add(found.path)
                made.found.append(found)
    return made


def _alone(path: Path, max_bytes: int) -> Found:
    """A file that was named itself: as a link it is followed, wherever it leads."""
    root = path.parent.resolve()
    place = root / path.name
    return Found(_shown(path.name), place, root, _checked(place, None, max_bytes))


def _below(path: Path, made: Survey, max_bytes: int) -> Iterator[Found]:
    root = path.resolve()
    made.folders.append(root)
    errors: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        links = [Path(folder, name) for name in folders if os.path.islink(Path(folder, name))]
        yield from (_link(link, root, made) for link in links)
        places = [Path(folder, name) for name in sorted(files) if not _is_hidden(name)]
        yield from (_file(place, root, max_bytes) for place in places)
        while errors:  # of the folders before this one
            yield _unread(errors.pop(0), root, made)
    while errors:
        yield _unread(errors.pop(0), root, made)


def _is_hidden(name: str) -> bool:
    """Hidden, or what an editor or an office program leaves beside a file that is open in it."""
    return name.startswith((".", "~$")) or name.endswith("~") or (name[0] == name[-1] == "#")


def _name(path: Path, root: Path) -> str:
    return _shown(path.relative_to(root).as_posix())


def _shown(name: str) -> str:
    """A name that can be shown; bytes that are no text become `?`."""
    return name.encode("utf-8", "replace").decode()


def _link(path: Path, root: Path, made: Survey) -> Found:
    """A link to a folder; what lies behind one that leads elsewhere is not known."""
    place = path.resolve()
    inside = place.is_relative_to(root)
    if inside and not any(map(_is_hidden, place.relative_to(root).parts)):
        return Found(_name(path, root), path, root, "a link to a folder that is read anyway", aside=True)
    made.closed.append(path)
    reason = "a link to a hidden folder" if inside else "a link that leaves the folder"
    return Found(_name(path, root), path, root, reason)


def _unread(error: OSError, root: Path, made: Survey) -> Found:
    folder = Path(str(error.filename or root))
    made.closed.append(folder)
    name = root.name if folder == root else _name(folder, root)
    return Found(f"{name}/", folder, root, error.strerror or "the folder cannot be read")


def _file(path: Path, root: Path, max_bytes: int) -> Found:
    if path.suffix.lower() in SKIPPED_SUFFIXES:
        return Found(_name(path, root), path, root, NO_DOCUMENT, aside=True)
    return Found(_name(path, root), path, root, _checked(path, root, max_bytes))


def _checked(path: Path, root: Path | None, max_bytes: int) -> str:
    try:
        return _refusal(path, root, max_bytes)
    except OSError as exc:
        return exc.strerror or "it cannot be opened"
    except RuntimeError:  # of `resolve`, before Python 3.13
        return "a link to itself"


def _refusal(path: Path, root: Path | None, max_bytes: int) -> str:
    if path.suffix.lower() not in SUFFIXES:
        return KINDS_READ
    if root is not None and os.path.islink(path) and not path.resolve().is_relative_to(root):
        return "a link that leaves the folder"
    if os.path.islink(path) and not path.exists():
        return "a link to nothing"
    if not path.is_file():
        return "not a file"
    return f"larger than {max_bytes // 1024**2} MB" if path.stat().st_size > max_bytes else ""


def read(path: Path, *, max_bytes: int) -> bytes:
    """The file as it was at one moment; never waits, whatever stands in its place by now.

    Raises:
        OSError: It cannot be opened.
        InvalidRequest: It is no file, has grown too large, or changes as often as it is read.
    """
    for _ in range(_TRIES):
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise InvalidRequest("not a file")
            data = file.read(max_bytes + 1)
            after = os.fstat(file.fileno())
        if len(data) > max_bytes:
            raise InvalidRequest(f"larger than {max_bytes // 1024**2} MB")
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, len(data)):
            return data
    raise InvalidRequest("it changes while it is read")
