"""A calibration: the coefficients that hold for one embedder."""

from __future__ import annotations

from dataclasses import dataclass

from backend.engines.ranking import Weights
from backend.retrieval.gate import Gate


@dataclass(frozen=True, slots=True)
class Calibration:
    """What retrieval and quoting know of an embedder.

    Attributes:
        embedder: As in `Embedder.id`; "" for words alone, which hold for any.
        by_meaning: None where nobody measured what this embedder's similarities mean: words alone decide.
    """

    embedder: str
    gate: Gate
    by_words: Weights
    by_meaning: Weights | None
