"""A passage as indexes store it, so that a search needs no second store."""

from __future__ import annotations

import json
from typing import Any

from backend.core.types import Passage


def fields(passage: Passage) -> dict[str, str | int]:
    """Everything but id and text, as flat values; headings as JSON, no page as -1."""
    return {
        "document": passage.document,
        "revision": passage.revision,
        "name": passage.name,
        "title": passage.title,
        "headings": json.dumps(passage.headings, ensure_ascii=False),
        "page": -1 if passage.page is None else passage.page,
        "start": passage.start,
        "end": passage.end,
        "language": passage.language,
        "lead": passage.lead,
    }


def passage(id: str, text: str, stored: dict[str, Any]) -> Passage:
    """The passage that `fields` took apart."""
    page = int(stored["page"])
    return Passage(
        id=id,
        document=str(stored["document"]),
        revision=str(stored["revision"]),
        name=str(stored["name"]),
        title=str(stored["title"]),
        headings=tuple(json.loads(stored["headings"])),
        text=text,
        page=None if page < 0 else page,
        start=int(stored["start"]),
        end=int(stored["end"]),
        language=str(stored["language"]),
        lead=str(stored.get("lead", "")),
    )
