"""Lists of values with separators (.csv, .tsv): one table, its columns named by the first row."""

from __future__ import annotations

import csv
from collections import Counter
from io import StringIO

from backend.core.errors import UnreadableDocument
from backend.ingest.parse.document import Document
from backend.ingest.parse.office.regions import blocks_of
from backend.ingest.parse.text import clean, decode

_SEPARATORS = (";", "\t", ",", "|")
_SAMPLE_CHARS = 65_536
_SAMPLE_ROWS = 50
_MAX_FIELD_CHARS = 10_000_000


def read(data: bytes) -> Document:
    """The document in a list of values; its separator is found out.

    Raises:
        UnreadableDocument: It is not text.
    """
    text = clean(decode(data))
    separator = _told(text) or _separator(text)
    if text.startswith("sep="):
        text = text.partition("\n")[2]
    csv.field_size_limit(_MAX_FIELD_CHARS)
    try:
        rows = [row for row in csv.reader(StringIO(text, newline=""), delimiter=separator) if any(row)]
    except csv.Error as exc:
        raise UnreadableDocument("a value of it is longer than ten million characters") from exc
    return Document("", tuple(blocks_of(rows)))


def _told(text: str) -> str:
    """The separator that a first line `sep=;` names."""
    line = text.split("\n", 1)[0].strip()
    return line[4:5] if line.startswith("sep=") and line[4:5] in _SEPARATORS else ""


def _separator(text: str) -> str:
    """The one that cuts most rows into as many cells; of equals the semicolon, since `12,50` is one."""
    sample = text[:_SAMPLE_CHARS]
    return max(
        _SEPARATORS, key=lambda separator: (_regularity(sample, separator), -_SEPARATORS.index(separator))
    )


def _regularity(sample: str, separator: str) -> float:
    """Share of the rows that have the commonest number of cells; 0 where that is one."""
    counts: Counter[int] = Counter()
    try:
        for row in csv.reader(StringIO(sample, newline=""), delimiter=separator):
            if any(cell.strip() for cell in row):
                counts[len(row)] += 1
            if counts.total() >= _SAMPLE_ROWS:
                break
    except csv.Error:
        return 0.0
    cells, rows = max(counts.items(), key=lambda item: (item[0] > 1, item[1]), default=(1, 0))
    return rows / counts.total() if cells > 1 else 0.0
