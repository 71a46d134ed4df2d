"""How fast a machine reads and writes with a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Speeds:
    """Figures of one model on one machine.

    Attributes:
        load_s: From disk to ready.
        prefill_tps: Prompt tokens a second.
        n_batch: Most prompt tokens in one step.
        decode: Aggregate tokens a second by busy slots; straight lines between, and beyond the last point the
            time of a step grows in proportion (aggregate stays).
        per_stream_tps: If set, every stream gets this rate whatever the number of busy slots.
    """

    load_s: float = 3.0
    prefill_tps: float = 6500.0
    n_batch: int = 512
    decode: Mapping[int, float] = field(default_factory=lambda: {1: 130.0, 2: 225.0, 4: 390.0, 8: 620.0})
    per_stream_tps: float | None = None

    def decode_tps(self, busy: int) -> float:
        """Tokens a second of all busy slots together."""
        if self.per_stream_tps is not None:
            return self.per_stream_tps * busy
        points = sorted(self.decode.items())
        below = max((p for p in points if p[0] <= busy), default=points[0])
        above = min((p for p in points if p[0] >= busy), default=points[-1])
        if above[0] <= below[0]:
            return below[1]
        share = (busy - below[0]) / (above[0] - below[0])
        return below[1] + share * (above[1] - below[1])

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Speeds:
        """From JSON, whose keys are strings; what is not named keeps its default.

        Raises:
            ValueError: A figure that is none of these.
        """
        decode = data.get("decode")
        changed = {**data, "decode": {int(b): float(v) for b, v in decode.items()}} if decode else dict(data)
        try:
            return cls(**changed)
        except TypeError as exc:
            raise ValueError(str(exc)) from exc
