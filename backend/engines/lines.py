"""Lines out of bytes, as they arrive."""

from __future__ import annotations

from backend.core.errors import EngineError

MAX_LINE_BYTES = 1_000_000


class LineParser:
    """Cuts a byte stream at its newlines, however the bytes are split; blank lines are left out.

    Args:
        max_bytes: Longest line.
    """

    def __init__(self, *, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._tail: list[bytes] = []
        self._tail_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes.

        Raises:
            EngineError: A line is too long.
        """
        if b"\n" not in chunk:
            self._keep(chunk)
            return []
        *lines, rest = b"".join((*self._tail, chunk)).split(b"\n")
        self._tail, self._tail_bytes = [], 0
        self._keep(rest)
        return [line for line in lines if line.strip()]

    def _keep(self, piece: bytes) -> None:
        self._tail_bytes += len(piece)
        if self._tail_bytes > self._max_bytes:
            raise EngineError("the model server sent a line that is too long")
        if piece:
            self._tail.append(piece)
