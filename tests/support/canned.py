"""A client session whose every answer is the bytes that a test gave, in the pieces it gave."""

from __future__ import annotations

from collections.abc import Sequence


class _Content:
    def __init__(self, reads: Sequence[bytes]) -> None:
        self._reads = [read for read in reads if read]

    async def readany(self) -> bytes:
        return self._reads.pop(0) if self._reads else b""


class _Response:
    def __init__(self, reads: Sequence[bytes], content_type: str) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.content_type = content_type
        self.content = _Content(reads)

    def close(self) -> None:
        pass


class CannedSession:
    """Stands where an `aiohttp.ClientSession` would, where sockets would cost too much."""

    def __init__(self, reads: Sequence[bytes], content_type: str = "text/event-stream") -> None:
        self._reads, self._content_type = reads, content_type

    async def request(self, *_: object, **__: object) -> _Response:
        return _Response(self._reads, self._content_type)
