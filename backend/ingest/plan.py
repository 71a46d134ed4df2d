"""What becomes of a corpus when folders are read into it: names, renames, replacements, what is gone.

A document is known again by its origin, the place of its file. So the same file keeps its name whichever root
it is reached through, and two files of one name in two folders are two documents.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from backend.core.errors import InvalidRequest
from backend.corpus.base import Document
from backend.ingest.folder import Found, Survey
from backend.ingest.parse.names import safe_name


@dataclass(frozen=True, slots=True)
class Entry:
    """A file to hand in, under the name of its document.

    Attributes:
        refusal: Why it is not read; "" if it is.
    """

    name: str
    path: Path
    origin: str
    refusal: str = ""


@dataclass(slots=True)
class Plan:
    """In the order in which it is carried out; `gone` only where that was asked for.

    Attributes:
        aside: What is no document, with the reason.
        beside: Names that hold their folder's, since another file has theirs.
        replaced: Names whose document came from elsewhere and holds something else.
        renamed: A document, and the new place of its file.
        gone: Documents whose file is no longer where it was, in a folder that was read.
        emptied: Folders from which more than half is gone: how much, of how many documents.
    """

    files: list[Entry] = field(default_factory=list)
    aside: list[Found] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    renamed: list[tuple[Document, Entry]] = field(default_factory=list)
    gone: list[Document] = field(default_factory=list)
    emptied: dict[Path, tuple[int, int]] = field(default_factory=dict)


def plan(seen: Survey, known: Sequence[Document]) -> Plan:
    """What reading these files into a corpus that holds `known` does."""
    return _Planning(seen, known).plan()


class _Planning:
    def __init__(self, seen: Survey, known: Sequence[Document]) -> None:
        self._seen = seen
        self._made = Plan(aside=[found for found in seen.found if found.aside])
        self._by_origin = {one.origin: one for one in known if one.origin}
        self._by_name = {one.name: one for one in known}
        places = {found.origin for found in seen.found}
        self._gone = {
            one.id: one
            for one in known
            if _is_below(one.origin, seen.folders)
            and one.origin not in places
            and not _is_below(one.origin, seen.closed)
        }
        self._claimed: set[str] = set()

    def plan(self) -> Plan:
        files = [found for found in self._seen.found if not found.aside]
        new = []
        for found in files:
            if (document := self._by_origin.get(found.origin)) is not None:
                self._claimed.add(document.name)
                self._made.files.append(_entry(found, document.name))
            else:
                new.append(found)
        moved = self._moved([found for found in new if not found.refusal])
        for found in new:
            self._place(found, moved.get(found.path))
        self._made.files.sort(key=lambda entry: entry.name)
        self._made.gone = list(self._gone.values())
        self._made.emptied = dict(self._emptied())
        return self._made

    def _emptied(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for folder in self._seen.folders:
            gone = sum(_is_below(one.origin, [folder]) for one in self._made.gone)
            came = sum(_is_below(origin, [folder]) for origin in self._by_origin)
            if 2 * gone > came:
                yield folder, (gone, came)

    def _moved(self, new: Sequence[Found]) -> dict[Path, Document]:
        """Which document a new file is, whose own file is gone and held the same."""
        waiting: dict[str, list[Document]] = {}
        for document in self._gone.values():
            waiting.setdefault(document.content_sha256, []).append(document)
        sizes = {document.size_bytes for document in self._gone.values()}
        moved = {}
        for found in new:
            same = waiting.get(_digest(found.path) if _size(found.path) in sizes else "")
            if same:
                of_its_name = [one for one in same if Path(one.name).name == found.path.name]
                moved[found.path] = document = (of_its_name or same)[0]
                same.remove(document)
                del self._gone[document.id]
        return moved

    def _place(self, found: Found, moved: Document | None) -> None:
        """Give a file that no document came from a name."""
        if found.refusal:
            self._made.files.append(_entry(found, found.name))
            return
        try:
            name = next((one for one in _names(found) if self._is_free(one, moved)), None)
        except InvalidRequest as exc:
            self._made.files.append(Entry(found.name, found.path, found.origin, exc.message))
            return
        if name is None:
            self._made.files.append(_entry(found, found.name, "another file of this name comes first"))
            return
        self._claimed.add(name)
        entry = _entry(found, name)
        self._made.files.append(entry)
        if name != next(_names(found)):
            self._made.beside.append(name)
        if moved is not None:
            self._made.renamed.append((moved, entry))
        elif (holder := self._by_name.get(name)) is not None:
            self._gone.pop(holder.id, None)
            if _digest(found.path) != holder.content_sha256:
                self._made.replaced.append(name)

    def _is_free(self, name: str, moved: Document | None) -> bool:
        """Nobody's, its own, or that of a document whose file is not known or not there any more."""
        holder = self._by_name.get(name)
        if name in self._claimed:
            return False
        if holder is None or moved is not None:
            return holder is None or holder == moved
        return not holder.origin or holder.id in self._gone or not os.path.lexists(_path_of(holder.origin))


def _entry(found: Found, name: str, refusal: str = "") -> Entry:
    return Entry(name, found.path, found.origin, refusal or found.refusal)


def _names(found: Found) -> Iterator[str]:
    """Names for a file, the plainest first: below its root, with the root's name, with its parent's too.

    Raises:
        InvalidRequest: None that can be kept.
    """
    names = [found.name]
    for folder in (found.root, *found.root.parents):
        if folder.name:
            names.append(f"{folder.name}/{names[-1]}")
    yield safe_name(names[0])
    for name in names[1:]:
        yield safe_name(name.encode("utf-8", "replace").decode())


def _is_below(origin: str, folders: Sequence[Path]) -> bool:
    return any(origin.startswith(folder.as_uri().rstrip("/") + "/") for folder in folders)


def _path_of(origin: str) -> bytes:
    return unquote_to_bytes(urlsplit(origin).path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _digest(path: Path) -> str:
    """SHA-256 of the file; "" if it cannot be read, which is told when it is handed in."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
