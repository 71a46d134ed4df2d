"""A zip of XML parts, as office files and books are: opened with bounds, its XML without entities."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import IO
from urllib.parse import unquote

from lxml import etree

from backend.core.errors import UnreadableDocument
from backend.ingest.base import About
from backend.ingest.parse.text import clean, squeeze

MAX_PARTS = 20_000
MAX_PART_BYTES = 128 << 20
MAX_UNPACKED_BYTES = 512 << 20
_XML = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx")
_RELATIONSHIP = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_DC = "{http://purl.org/dc/elements/1.1/}"
_TERMS = "{http://purl.org/dc/terms/}"
_DAY = re.compile(r"^\d{4}(?:-\d{2}(?:-\d{2})?)?")
_DESCRIPTION_CHARS = 300


@dataclass(frozen=True, slots=True)
class Relation:
    """Another part that a part names; `kind` is the last word of its type."""

    kind: str
    path: str


class Package:
    """The parts of one file.

    Raises:
        UnreadableDocument: From every method too: damaged, encrypted, or larger than the bounds.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError) as exc:
            raise UnreadableDocument("it is damaged") from exc
        parts = self._zip.infolist()
        if len(parts) > MAX_PARTS:
            raise UnreadableDocument(f"it has more than {MAX_PARTS} parts")
        if sum(part.file_size for part in parts if part.filename.lower().endswith(_XML)) > MAX_UNPACKED_BYTES:
            raise UnreadableDocument(f"it unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB")
        self._names = {part.filename for part in parts}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def names(self) -> frozenset[str]:
        """Paths of all parts."""
        return frozenset(self._names)

    def read(self, name: str) -> bytes:
        """One part."""
        self._checked(name)
        try:
            return self._zip.read(name)
        except RuntimeError as exc:
            raise UnreadableDocument("it is encrypted") from exc
        except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, zipfile.LargeZipFile) as exc:
            raise UnreadableDocument("it is damaged") from exc

    def _checked(self, name: str) -> None:
        if name not in self._names:
            raise UnreadableDocument(f"it lacks the part {name[:100]}")
        part = self._zip.getinfo(name)
        if part.flag_bits & 1:
            raise UnreadableDocument("it is encrypted")
        if part.file_size > MAX_PART_BYTES:
            raise UnreadableDocument(f"a part of it unpacks to more than {MAX_PART_BYTES >> 20} MiB")

    def stream(self, name: str) -> IO[bytes]:
        """One part, to be read as it is unpacked."""
        if name not in self._names:
            raise UnreadableDocument(f"it lacks the part {name[:100]}")
        return self._zip.open(name)

    def xml(self, name: str) -> etree._Element:
        """One part, parsed; entities stay as they are written."""
        return parsed(self.read(name))

    def relations(self, name: str) -> dict[str, Relation]:
        """Parts that `name` refers to, by the id that it uses for them."""
        folder, base = posixpath.split(name)
        path = posixpath.join(folder, "_rels", f"{base}.rels")
        if path not in self:
            return {}
        return {
            one.get("Id", ""): Relation(
                one.get("Type", "").rsplit("/", 1)[-1], resolved(folder, one.get("Target", ""))
            )
            for one in self.xml(path).iter(_RELATIONSHIP)
            if one.get("TargetMode") != "External"
        }

    def related(self, name: str, kind: str) -> Iterator[str]:
        """Paths of the parts of one kind that `name` refers to, and that are there."""
        for relation in self.relations(name).values():
            if relation.kind == kind and relation.path in self:
                yield relation.path

    def main(self, default: str) -> str:
        """The part that an office file begins with."""
        return next(self.related("", "officeDocument"), default)

    def core(self) -> tuple[str, About]:
        """Title and what else the file says of itself."""
        path = next(self.related("", "core-properties"), "docProps/core.xml")
        if path not in self:
            return "", About()
        return dublin_core(self.xml(path))


def parsed(data: bytes) -> etree._Element:
    """The root of an XML document that names no entities of its own.

    Raises:
        UnreadableDocument
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as exc:
        if "depth" in str(exc):
            raise UnreadableDocument("its elements are nested too deeply") from exc
        raise UnreadableDocument("it is damaged") from exc
    if root.getroottree().docinfo.internalDTD is not None and any(
        isinstance(node, etree._Entity) for node in root.iter(etree.Entity)
    ):
        raise UnreadableDocument("it declares XML entities")
    return root


def resolved(folder: str, target: str) -> str:
    """The path that `target` names from within `folder`."""
    target = unquote(target.split("#", 1)[0])
    path = posixpath.normpath(posixpath.join("/", folder, target))
    return path.lstrip("/")


def dublin_core(root: etree._Element) -> tuple[str, About]:
    """Title, date and description among the Dublin Core elements below `root`."""

    def first(*tags: str) -> str:
        found = (squeeze(clean(one.text or "")) for tag in tags for one in root.iter(tag))
        return next((text for text in found if text), "")

    day = _DAY.match(first(f"{_TERMS}modified", f"{_TERMS}created", f"{_DC}date"))
    description = first(f"{_DC}description", f"{_DC}subject")
    return first(f"{_DC}title"), About(day.group() if day else "", description[:_DESCRIPTION_CHARS])
