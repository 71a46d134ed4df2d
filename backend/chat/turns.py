"""How an answer ends.

    prepare   the door is shut, so that nobody joins an answer that is over, and what will be said last is in
              the log, unseen
    keep      the turn of every run that follows is closed in the history, for which the end waits `CLOSING_S`
    append    the terminal event: who sees it finds the turn whole, or is told that it may be missing

Whoever ends an answer does these three, in this order. Who takes a generation over and finds an end prepared
repeats only the rest, with the end that stands: the door is shut, a turn that is closed stays as it is, and
the log takes one terminal event. A run may also end before its generation, when its reader stops it and
others go on, or have its turn opened when all is over; each closes its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from backend.chat.transcript import Transcript
from backend.core.aio import Background
from backend.core.errors import LibriError
from backend.core.events import Done, Terminal
from backend.generations.base import GenerationId, GenerationLog, Writer
from backend.history.base import History

log = logging.getLogger(__name__)

CLOSING_S = 1.5
"""Longest the end of an answer waits for its turn to be kept; then its writing goes on behind."""

UNKEPT = "history"
"""In `degraded`: the turn, or those before it, may be missing from the conversation."""


@dataclass(slots=True, kw_only=True)
class Turns:
    """Closes turns, each once."""

    history: History
    generations: GenerationLog
    _writes: Background = field(default_factory=Background)

    async def end(self, writer: Writer, said: Transcript, terminal: Terminal) -> Terminal:
        """End a generation of which so much was said; returns the end that its readers see.

        Raises:
            Superseded: It is for another to end.
            LogUnavailable
        """
        end = await writer.prepare_end(terminal)
        said.add(end.terminal)
        shown, kept = end.terminal, await self._keep(end.runs, said)
        if isinstance(shown, Done) and not kept:
            shown = replace(shown, degraded=(*shown.degraded, UNKEPT))
        await writer.append([shown])
        return shown

    async def end_run(self, run: str, generation: GenerationId) -> None:
        """Close the turn of a run with what it has been shown, once it has ended."""
        shown = Transcript()
        async with aclosing(self.generations.follow(generation, run=run)) as batches:
            async for batch in batches:
                for entry in batch:
                    shown.add(entry.event)
        await self._keep([run], shown)

    async def opened(self, run: str, generation: GenerationId) -> None:
        """Close a turn that was opened while its answer ended, perhaps too late for who ended it to see."""
        if not await self.generations.is_open(generation):
            await self.end_run(run, generation)

    async def close(self) -> None:
        """Let what is being written be written, for as long as an end waits for it."""
        await self._writes.drain(CLOSING_S)

    async def _keep(self, runs: Sequence[str], said: Transcript) -> bool:
        """Whether the turns are closed by now; if not, it may happen behind."""
        kept: list[bool] = []
        writing = self._writes.start(self._write(runs, said, kept), name=f"turns {' '.join(runs[:1])}")
        await asyncio.wait({writing}, timeout=CLOSING_S)
        return kept == [True]

    async def _write(self, runs: Sequence[str], said: Transcript, kept: list[bool]) -> None:
        try:
            await self.history.finish(
                runs,
                answer=said.answer,
                state=said.state,
                sources=said.sources,
                citations=said.citations,
                degraded=said.degraded,
            )
        except LibriError as exc:
            log.warning("the turn could not be kept", extra={"error": type(exc).__name__})
        else:
            kept.append(True)
