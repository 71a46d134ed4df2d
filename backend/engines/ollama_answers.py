"""What the `ollama` package hands over, read into our types."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.engines.base import LoadedModel, ModelInfo
from backend.engines.control import ModelDetails, Progress
from backend.engines.ollama_package import ListResponse, ProcessResponse, ProgressResponse, ShowResponse
from backend.engines.overflow import tokens


def info_of(row: ListResponse.Model) -> ModelInfo:
    """From a row of `list`, which does not tell what the model can do."""
    details = row.details
    return ModelInfo(
        name=row.model or "",
        parameters=(details and details.parameter_size) or "",
        quantisation=(details and details.quantization_level) or "",
        size_bytes=row.size,
        digest=row.digest or "",
    )


def loaded_of(row: ProcessResponse.Model) -> LoadedModel:
    """From a row of `ps`."""
    return LoadedModel(
        name=row.name or row.model or "",
        digest=row.digest or "",
        size_bytes=row.size,
        vram_bytes=row.size_vram,
        context_tokens=tokens(row.context_length),
        expires_at=row.expires_at.timestamp() if row.expires_at else None,
    )


def details_of(name: str, shown: ShowResponse) -> ModelDetails:
    """From the answer of `show`."""
    details, can = shown.details, tuple(shown.capabilities or ())
    lengths = [v for key, v in (shown.modelinfo or {}).items() if key.endswith(".context_length")]
    info = ModelInfo(
        name=name,
        thinks="thinking" in can if shown.capabilities is not None else None,
        parameters=(details and details.parameter_size) or "",
        quantisation=(details and details.quantization_level) or "",
        context_tokens=next(filter(None, map(tokens, lengths)), None),
    )
    family = (details and details.family) or ""
    return ModelDetails(info, family, can, shown.parameters or "", shown.license or "")


@dataclass(slots=True)
class Tally:
    """Sums the lines of a pull, which tell of one layer each.

    Attributes:
        step: The last one named; "" before the first.
        is_moving: It is one that moves bytes.
    """

    step: str = ""
    is_moving: bool = False
    _layers: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, line: ProgressResponse) -> bool:
        """Take in a line; whether it tells of progress."""
        moved = False
        self.is_moving = line.digest is not None and line.total is not None
        if line.digest is not None and line.total is not None:
            state = (line.total, line.completed or 0)
            moved = self._layers.get(line.digest) != state
            self._layers[line.digest] = state
        step = line.status or self.step or "working"
        moved, self.step = moved or step != self.step, step
        return moved

    def progress(self) -> Progress:
        """All layers known by now as one."""
        layers = self._layers.values()
        return Progress(self.step, sum(total for total, _ in layers), sum(done for _, done in layers))
