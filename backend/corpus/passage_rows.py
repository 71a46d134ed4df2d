"""A passage as a row of SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Row, and_

from backend.core.types import Language, Passage
from backend.corpus.ids import passage_id
from backend.corpus.tables import documents, passages


def row_of(document: str, revision: str, ordinal: int, passage: Passage) -> dict[str, Any]:
    """Its columns; PostgreSQL refuses NUL."""
    return {
        "document": document,
        "ordinal": ordinal,
        "revision": revision,
        "headings": [heading.replace("\0", " ") for heading in passage.headings],
        "text": passage.text.replace("\0", " "),
        "lead": passage.lead.replace("\0", " "),
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "sha256": hashlib.sha256(passage.indexed_text.encode()).hexdigest(),
    }


def passage_of(row: Row[Any]) -> Passage:
    """The passage, of a row with `name`, `title` and `language` of its document."""
    return Passage(
        id=passage_id(row.revision, row.ordinal),
        document=row.document,
        revision=row.revision,
        name=row.name,
        title=row.title,
        headings=tuple(row.headings),
        text=row.text,
        page=row.page,
        start=row.start,
        end=row.end,
        language=cast(Language, row.language),
        lead=row.lead,
    )


def kept() -> ColumnElement[bool]:
    """Whether a passage is of its document's live revision."""
    return and_(passages.c.document == documents.c.id, passages.c.revision == documents.c.revision)


def in_order(found: Iterable[Passage]) -> list[Passage]:
    """As they stand in the document: by the number that ends their ids."""
    return sorted(found, key=lambda one: (len(one.id), one.id))


def are_all(found: Sequence[Passage], document: str, count: int, text: str) -> bool:
    """Whether these, in order, are all `count` passages of one revision, cut out of its text."""
    return len(found) == count and all(
        one.document == document
        and one.id == passage_id(found[0].revision, n)
        and text[one.start : one.end] == one.text.replace("\0", " ")
        for n, one in enumerate(found)
    )
