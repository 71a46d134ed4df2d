"""What a request to the embedding service finds: the model's desk, the metrics, and who may ask."""

from __future__ import annotations

from dataclasses import dataclass

from backend.embedding.desk import Desk
from backend.embedding.models import Model
from backend.embedding.ranking import Ranking
from backend.telemetry.embedding import EmbeddingMetrics


@dataclass(frozen=True, slots=True)
class Room:
    """All of one process.

    Attributes:
        keys: Any of them lets one in; empty: only this machine is served.
        scraper_key: Reads `/metrics` besides; empty: none.
        ranking: None: no cross-encoder is configured.
    """

    model: Model
    desk: Desk
    metrics: EmbeddingMetrics
    keys: tuple[str, ...]
    scraper_key: str = ""
    ranking: Ranking | None = None
