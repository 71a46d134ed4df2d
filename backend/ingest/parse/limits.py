"""What one file may cost."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

_OVERHEAD = 64 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for reading one file.

    Attributes:
        seconds: Wall clock and processor time.
        memory_bytes: Address space.
        max_pages: Pages of a PDF.
        max_chars: Characters of extracted text.
    """

    seconds: float
    memory_bytes: int
    max_pages: int
    max_chars: int

    @property
    def max_answer_bytes(self) -> int:
        """Longest answer: the text in UTF-8 or escaped, and its wrapping."""
        return 6 * self.max_chars + min(_OVERHEAD, 64 * self.max_chars)

    def to_json(self) -> str:
        """As it travels to the child process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Limits:
        """As it came."""
        return cls(**json.loads(text))
