"""Excel workbooks: each sheet that is shown, its tables row by row, with the values that a reader sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import Any
from zipfile import BadZipFile

import openpyxl

from backend.core.errors import UnreadableDocument
from backend.ingest.base import Block, Note
from backend.ingest.parse.document import Document, sane_title
from backend.ingest.parse.office.package import Package
from backend.ingest.parse.office.regions import blocks_of
from backend.ingest.parse.office.sheet_shape import Area, Shape, shape_of
from backend.ingest.parse.office.sheet_value import is_unseen, shown
from backend.ingest.parse.text import clean, squeeze

_NEUTRAL = re.compile(r"(?i)^(?:sheet|feuille?|feuil|tabelle|hoja)\s*\d*$")
_WIDEST_MERGED = 256
_SHEET = "{*}sheets/{*}sheet"
_ID = re.compile(r"\}id$")


def read(data: bytes) -> Document:
    """The document in a .xlsx file; hidden sheets, rows, columns and values are left out and counted.

    Raises:
        UnreadableDocument
    """
    package = Package(data)
    paths = _sheet_paths(package)
    book = _opened(data)
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    left_out = _LeftOut(sheets=len(book.worksheets) - len(sheets))
    blocks: list[Block] = []
    for sheet in sheets:
        shape = shape_of(package.stream(paths.get(sheet.title, "")))
        found = blocks_of(_rows(sheet, shape, left_out))
        if found and (len(sheets) > 1 or not _NEUTRAL.match(sheet.title)):
            blocks.append(Block("heading", squeeze(clean(sheet.title)) or "–", 2))
        blocks += found
    title, about = package.core()
    return Document(sane_title(title), tuple(blocks), tuple(left_out.notes()), about)


def _opened(data: bytes) -> Any:
    try:
        return openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=True, keep_links=False)
    except (KeyError, ValueError, BadZipFile, TypeError, AttributeError) as exc:
        raise UnreadableDocument("it is damaged") from exc


def _sheet_paths(package: Package) -> dict[str, str]:
    """Where each sheet lies, by its name."""
    main = package.main("xl/workbook.xml")
    relations = package.relations(main)
    found: dict[str, str] = {}
    for sheet in package.xml(main).iterfind(_SHEET):
        id = next((value for name, value in sheet.attrib.items() if _ID.search(name)), "")
        if id in relations:
            found[sheet.get("name", "")] = relations[id].path
    return found


class _LeftOut:
    """What is not shown, by kind."""

    def __init__(self, *, sheets: int) -> None:
        self.sheets, self.rows, self.columns, self.values, self.unvalued = sheets, 0, 0, 0, 0

    def notes(self) -> Iterator[Note]:
        """As notes."""
        parts = {"sheet": self.sheets, "row": self.rows, "column": self.columns}
        said = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in parts.items() if count]
        if said:
            yield Note("hidden_parts", sum(parts.values()), ", ".join(said))
        if self.values:
            yield Note("hidden_text", self.values)
        if self.unvalued:
            yield Note("values_missing", self.unvalued)


def _rows(sheet: Any, shape: Shape, left_out: _LeftOut) -> Iterator[list[str]]:
    """The lines of a sheet, without what is hidden."""
    left_out.unvalued += sum(
        row not in shape.rows and column not in shape.columns for row, column in shape.unvalued
    )
    if not shape.last_row:
        return
    sheet.reset_dimensions()
    merged = _Merged(shape.merged)
    hidden_columns: set[int] = set()
    for number, cells in enumerate(islice(sheet.iter_rows(min_row=1), shape.last_row), 1):
        line = [_text(cell, shape, left_out) for cell in cells]
        merged.fill(number, line)
        if number in shape.rows:
            left_out.rows += any(line)
            continue
        hidden_columns.update(n for n in shape.columns if n <= len(line) and line[n - 1])
        yield [text for n, text in enumerate(line, 1) if n not in shape.columns]
    left_out.columns += len(hidden_columns)


def _text(cell: Any, shape: Shape, left_out: _LeftOut) -> str:
    if cell.value is None:
        return ""
    if is_unseen(cell, painted=shape.painted):
        left_out.values += 1
        return ""
    return clean(shown(cell.value, cell.number_format))


class _Merged:
    """Writes the text of merged cells in each of them, where the row says something else too."""

    def __init__(self, areas: list[Area]) -> None:
        self._waiting = sorted(areas, key=lambda area: area.top, reverse=True)
        self._begun: list[tuple[Area, str]] = []

    def fill(self, row: int, line: list[str]) -> None:
        """Change the line of that row in place; rows come in order."""
        while self._waiting and self._waiting[-1].top <= row:
            area = self._waiting.pop()
            text = line[area.left - 1] if area.top == row and area.left <= len(line) else ""
            if text:
                self._begun.append((area, text))
        self._begun = [(area, text) for area, text in self._begun if area.bottom >= row]
        for area, text in self._begun:
            line += [""] * (min(area.right, _WIDEST_MERGED) - len(line))
            columns = range(area.left - 1, min(area.right, len(line)))
            if any(cell for n, cell in enumerate(line) if n not in columns):
                line[columns.start : columns.stop] = [text] * len(columns)
