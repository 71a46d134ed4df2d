"""The reader the pipeline uses: every file through a child process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Any

from backend.config import Ingest
from backend.core.errors import UnreadableDocument
from backend.core.types import Language
from backend.infra.language import detect
from backend.ingest.base import About, Block, MediaType, Note, Parsed
from backend.ingest.parse.detect import media_type
from backend.ingest.parse.limits import Limits
from backend.ingest.parse.sandbox import Sandbox


class SandboxReader:
    """Reads Markdown, HTML, PDF and plain text; at most `settings.parse_processes` files at once.

    Processes are started when first needed, kept for the next file, and ended by `close`.

    Args:
        settings: The limits.
        language_of: French or English, for a text.
    """

    def __init__(self, settings: Ingest, language_of: Callable[[str], Language] = detect) -> None:
        self._limits = Limits(
            seconds=settings.parse_timeout_s,
            memory_bytes=settings.parse_memory_bytes,
            max_pages=settings.max_pages,
            max_chars=settings.max_text_chars,
        )
        self._language_of = language_of
        self._free = asyncio.Semaphore(settings.parse_processes)
        self._idle: list[Sandbox] = []
        self._closed = False

    async def read(self, name: str, data: bytes) -> Parsed:
        """The document in `data`; `name` gives its format and, failing all else, its title.

        Raises:
            UnsupportedDocument: Not a kind we read, or not the kind that its name says.
            UnreadableDocument: Damaged, encrypted, empty, or over a limit; the message says which.
        """
        kind = media_type(name, data)
        async with self._sandbox() as sandbox:
            answer = await sandbox.ask(kind, data)
        return await asyncio.to_thread(self._parsed, name, kind, answer)

    async def close(self) -> None:
        """End the processes."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    @asynccontextmanager
    async def _sandbox(self) -> AsyncIterator[Sandbox]:
        async with self._free:
            sandbox = await self._ready()
            try:
                yield sandbox
            finally:
                if sandbox.alive and not self._closed:
                    self._idle.append(sandbox)
                else:
                    await sandbox.close()

    async def _ready(self) -> Sandbox:
        while self._idle:
            if (sandbox := self._idle.pop()).alive:
                return sandbox
            await sandbox.close()
        return await Sandbox.start(self._limits)

    def _parsed(self, name: str, kind: MediaType, answer: dict[str, Any]) -> Parsed:
        blocks = tuple(Block(*block) for block in answer["blocks"])
        if not any(char.isalnum() for block in blocks for char in block.text):
            if any(code == "placeholder_page" for code, *_ in answer["notes"]):
                raise UnreadableDocument("it is a form (XFA) of which it holds only a placeholder")
            scan = " (a scan?)" if kind == "application/pdf" else ""
            raise UnreadableDocument(f"there is no text in it{scan}")
        title = answer["title"] or PurePosixPath(name).stem.replace("_", " ").replace("-", " ")
        body = "\n".join(block.text for block in blocks if block.kind != "code") or blocks[0].text
        notes = tuple(Note(*note) for note in answer["notes"])
        return Parsed(title, kind, self._language_of(body), blocks, notes, About(*answer["about"]))
