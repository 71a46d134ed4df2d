"""What Ollama says of its models when it is told to fetch, show or list them, read into our types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from backend.core.errors import EngineError
from backend.engines.base import ModelInfo
from backend.engines.control import ModelDetails, Progress
from backend.engines.lenient import an_object
from backend.engines.overflow import tokens


def details_of(name: str, shown: dict[str, Any]) -> ModelDetails:
    """From the answer of `/api/show`."""
    details, told = _object(shown.get("details")), shown.get("capabilities")
    can = tuple(one for one in told if isinstance(one, str)) if isinstance(told, list) else ()
    facts = _object(shown.get("model_info"))
    lengths = [value for key, value in facts.items() if key.endswith(".context_length")]
    info = ModelInfo(
        name=name,
        thinks="thinking" in can if isinstance(told, list) else None,
        parameters=_string(details.get("parameter_size")),
        quantisation=_string(details.get("quantization_level")),
        context_tokens=next(filter(None, map(tokens, lengths)), None),
    )
    family, options = _string(details.get("family")), _string(shown.get("parameters"))
    return ModelDetails(info, family, can, options, _string(shown.get("license")))


@dataclass(frozen=True, slots=True)
class PullLine:
    """One line of a pull: a step by its name, or how far one layer has come.

    Attributes:
        error: Why the server gives up; "" while it goes on.
    """

    status: str = ""
    digest: str = ""
    total: int | None = None
    completed: int = 0
    error: str = ""

    @classmethod
    def read(cls, line: bytes) -> PullLine:
        """Raises `EngineError` if it is none."""
        told = an_object(line)
        total, completed = told.get("total"), told.get("completed") or 0
        if not isinstance(total, int | None) or not isinstance(completed, int):
            raise EngineError("the model server sent a line that cannot be read")
        error = str(told["error"] or "no reason") if "error" in told else ""
        return cls(_string(told.get("status")), _string(told.get("digest")), total, completed, error)


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

    def add(self, line: PullLine) -> bool:
        """Take in a line; whether it tells of progress."""
        moved = False
        self.is_moving = bool(line.digest) and line.total is not None
        if line.digest and line.total is not None:
            state = (line.total, line.completed)
            moved = self._layers.get(line.digest) != state
            self._layers[line.digest] = state
        step = line.status or self.step or "working"
        moved, self.step = moved or step != self.step, step
        return moved

    def progress(self) -> Progress:
        """All layers known by now as one."""
        layers = self._layers.values()
        return Progress(self.step, sum(total for total, _ in layers), sum(done for _, done in layers))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
