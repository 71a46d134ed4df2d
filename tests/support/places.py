"""A town of made-up places, and questions about them whose answers are known word for word."""

from __future__ import annotations

_NAMES = (
    "Alder",
    "Birch",
    "Cedar",
    "Damson",
    "Elder",
    "Fern",
    "Gorse",
    "Hazel",
    "Ivy",
    "Juniper",
    "Maple",
    "Oak",
)
_KINDS = ("library", "museum", "garden", "theatre", "market")


def _places() -> list[tuple[str, str, str, str]]:
    made = []
    for n in range(60):
        place = f"{_NAMES[n % len(_NAMES)]} {_KINDS[n // len(_NAMES)]}"
        made.append((f"place-{n:02}.md", place, f"{7 + n % 5} in the morning", f"{11 + n} euros a year"))
    return made


def documents() -> list[tuple[str, bytes]]:
    """One file a place."""
    return [
        (
            name,
            f"# {place}\n\nThe {place} opens at {opens}. A card for it costs {price}, paid there.\n".encode(),
        )
        for name, place, opens, price in _places()
    ]


def questions() -> list[dict[str, str]]:
    """One question a place, and some that no document answers."""
    answered = [
        {
            "question": f"What does a card for the {place} cost?",
            "language": "en",
            "document": name,
            "answer": price,
        }
        for name, place, _, price in _places()
    ]
    strange = [{"question": f"How high is mountain number {n}?", "language": "en"} for n in range(20)]
    return answered + strange
