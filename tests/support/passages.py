"""Passages for tests."""

from __future__ import annotations

from backend.core.types import Language, Passage, Scored


def passage(
    text: str, *, number: int = 1, title: str = "Opening hours", language: Language = "en", **changes: object
) -> Passage:
    """A passage that differs from others in `number`."""
    fields: dict[str, object] = {
        "id": f"p{number}",
        "document": f"d{number}",
        "revision": f"r{number}",
        "name": f"file{number}.md",
        "title": title,
        "headings": (),
        "text": text,
        "page": None,
        "start": 0,
        "end": len(text),
        "language": language,
    }
    return Passage(**{**fields, **changes})  # type: ignore[arg-type]


def scored(*texts: str, language: Language = "en") -> tuple[Scored, ...]:
    """Retrieved passages, best first."""
    return tuple(
        Scored(passage(text, number=number, language=language), 1.0 / number)
        for number, text in enumerate(texts, 1)
    )
