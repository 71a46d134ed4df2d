"""Office files, books, messages, lists: nothing hidden comes out, all that is seen does, as what it is."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from loadtests.bench import Report
from loadtests.reading.office_files import ROWS, SECRET, Case, cases
from loadtests.reading.run import Read, read_all, readers

_CSV_ROWS = (
    ("Carte", "Prix", "Notes"),
    ("Étudiant", "12,50", "« a ; b » sur deux lignes"),
    ("Senior", "", "3"),
)
_HEAD = ("kind", "reader", "headings", "items", "rows", "seen", "notes", "hidden let through", "ms")


def measure(args: argparse.Namespace, report: Report) -> None:
    """A row for each kind and reader."""
    rows: list[list[object]] = []
    lost = leaked = 0
    for case in cases():
        for reader, checkout in readers(args).items():
            file = _read(case, checkout)
            missing, through, row = _judged(case, file)
            rows.append([case.suffix, reader, *row, round(file.seconds * 1000, 1)])
            if reader == "now":
                lost, leaked = lost + missing, leaked + through
    report.table("Office files, books, messages, lists", _HEAD, rows, key="office")
    report.bar("office: hidden texts let through", leaked, at_most=0)
    report.bar("office: structures, words and notes lost", lost, at_most=0)


def _read(case: Case, checkout: Path) -> Read:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{case.suffix}")
        path.write_bytes(case.data)
        return read_all([path], case.media_type, checkout=checkout).files[0]


def _judged(case: Case, file: Read) -> tuple[int, int, list[object]]:
    """What is missing, how much that was hidden came out, and both as cells of the row."""
    lists = "\n".join(text for kind, text in _pairs(file) if kind == "list")
    table = _table_rows(file)
    told = {code for code, _ in file.notes}
    judged = {
        "headings": [("heading", name) in _pairs(file) for name in case.headings],
        "items": [item in lists for item in case.items],
        "rows": [_filled(row) in table for row in _rows(case)],
        "seen": [words in file.text for words in case.seen],
        "notes": [code in told for code in case.notes],
    }
    through = file.text.count(SECRET)
    missing = sum(found.count(False) for found in judged.values())
    cells: list[object] = [f"{sum(found)} of {len(found)}" for found in judged.values()]
    return missing, through, [*cells, f"{through} of {case.hidden}"]


def _pairs(file: Read) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text, *_ in file.blocks]


def _rows(case: Case) -> tuple[tuple[str, ...], ...]:
    return _CSV_ROWS if case.suffix == ".csv" else ROWS


def _table_rows(file: Read) -> set[tuple[str, ...]]:
    lines = (line for kind, text in _pairs(file) if kind == "table" for line in text.split("\n"))
    return {_filled(tuple(line.split(" | "))) for line in lines}


def _filled(row: tuple[str, ...]) -> tuple[str, ...]:
    """A row without the empty cells at its end, that mean nothing."""
    last = max((n for n, cell in enumerate(row, 1) if cell.strip()), default=0)
    return tuple(cell.strip() for cell in row[:last])
