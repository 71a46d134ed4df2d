"""A calibration: the coefficients that hold for one embedder."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from backend.config import Retrieval
from backend.engines.ranking import Weights
from backend.retrieval.gate import Gate


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the rankings of both indexes become one; each as in `config.Retrieval`."""

    rrf_k: float
    lexical_weight: float
    per_document: int

    def over(self, settings: Retrieval) -> Retrieval:
        """The settings with these weights."""
        return settings.model_copy(update=asdict(self))

    def under(self, settings: Retrieval) -> Retrieval:
        """Likewise, but for what an operator set."""
        chosen = settings.model_fields_set
        mine = {name: value for name, value in asdict(self).items() if name not in chosen}
        return settings.model_copy(update=mine)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What retrieval and quoting know of an embedder.

    Attributes:
        embedder: As in `Embedder.id`; "" for words alone, which hold for any.
        fusion: Of any embedder, where nobody measured this one.
        by_meaning: None where nobody measured what this embedder's similarities mean: words alone decide.
    """

    embedder: str
    fusion: Fusion
    gate: Gate
    by_words: Weights
    by_meaning: Weights | None
