"""The languages that documents and questions may be in, and the two that we speak ourselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from backend.core.types import Language

SNOWBALL: Final[Mapping[Language, str]] = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
"""Every language that we can stem, with the name of its stemmer."""

PATTERN: Final = f"^({'|'.join(SNOWBALL)})$"
"""What a language looks like in what comes from outside."""

Spoken = Literal["fr", "en"]
"""What our own sentences are written in: rules of prompts, refusals, the page."""


def spoken(language: Language) -> Spoken:
    """The language in which we address who asks in `language`."""
    return "fr" if language == "fr" else "en"
