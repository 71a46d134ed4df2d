"""What a conversation is called."""

from __future__ import annotations

TITLE_CHARS = 80


def title_of(question: str) -> str:
    """The question on one line, cut at a word within `TITLE_CHARS` characters."""
    line = " ".join(question.split())
    if len(line) <= TITLE_CHARS:
        return line
    head = line[:TITLE_CHARS]
    return (head.rsplit(" ", 1)[0] if " " in head else head).rstrip(",;:") + "…"
