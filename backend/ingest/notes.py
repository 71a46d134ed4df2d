"""What a document leaves out, in words."""

from __future__ import annotations

from typing import Final

from backend.core.types import Note

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "hidden_text": ("1 hidden text was left out", "{n} hidden texts were left out"),
    "scanned_text": (
        "1 page is a scan, and its text may hold errors",
        "{n} pages are scans, and their text may hold errors",
    ),
    "images_skipped": ("1 image was left out", "{n} images were left out"),
    "pages_without_text": ("1 page holds no text", "{n} pages hold no text"),
    "placeholder_page": ("1 page is a placeholder for a form", "{n} pages are placeholders for a form"),
    "contents_skipped": ("1 table of contents was left out", "{n} tables of contents were left out"),
    "running_heads_skipped": (
        "1 repeated page header was left out",
        "{n} repeated page headers were left out",
    ),
    "hidden_parts": ("1 hidden part was left out", "{n} hidden parts were left out"),
    "attachments_skipped": ("1 attachment was left out", "{n} attachments were left out"),
    "data_skipped": ("1 piece of embedded data was left out", "{n} pieces of embedded data were left out"),
    "characters_replaced": ("1 character could not be read", "{n} characters could not be read"),
    "values_missing": (
        "1 formula has no value kept in the file",
        "{n} formulas have no value kept in the file",
    ),
}
"""For one and for several; the page says the same in `note.CODE`, in each of its languages."""


def sentence(note: Note) -> str:
    """One line in English; a code that this release does not know is said as it is."""
    one, many = _WORDS.get(note.code, (f"{note.code.replace('_', ' ')}: {{n}}",) * 2)
    said = (one if note.count == 1 else many).format(n=note.count)
    return f"{said} ({note.detail})" if note.detail else said
