"""How an answer ends.

    prepare   the door is shut, so that nobody joins an answer that is over, and what will be said last is in
              the log, unseen
    keep      the turn of every run that follows is closed in the history, for which the end waits
              `CLOSING_S`, but not where nothing was said: who is refused is told at once
    append    the terminal event: who sees it finds the turn whole, or is told that it may be missing

Whoever ends an answer does these three, in this order. Who takes a generation over and finds an end prepared
repeats only the rest, with the end that stands: the door is shut, a turn that is closed stays as it is, and
the log takes one terminal event. A run may also end before its generation, when its reader stops it and
others go on, or have its turn opened when all is over; each closes its own.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from backend.chat.outbox import Outbox
from backend.chat.transcript import Transcript
from backend.core.errors import LibriError, NotFound
from backend.core.events import Done, Failed, Terminal
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
    outbox: Outbox

    async def end(self, writer: Writer, said: Transcript, terminal: Terminal) -> Terminal:
        """End a generation of which so much was said; returns the end that its readers see.

        Raises:
            Superseded: It is for another to end.
            LogUnavailable
        """
        end = await writer.prepare_end(terminal)
        said.add(end.terminal)
        shown = end.terminal
        if isinstance(shown, Failed) and not said.has_answer():
            await self._keep(end.runs, said, within_s=0)
        elif not await self._keep(end.runs, said) and isinstance(shown, Done):
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
        await self._keep((run,), shown)

    async def opened(self, run: str, generation: GenerationId) -> None:
        """Close a turn that was opened too late for who ended its answer, or its run, to close it.

        Where the log is gone as well, so is the answer.
        """
        try:
            if not await self.generations.will_end(generation, run):
                await self.end_run(run, generation)
        except NotFound:
            gone = Failed("not_found", "this answer is no longer kept", retryable=True)
            await self._keep((run,), Transcript(terminal=gone))

    async def _keep(self, runs: tuple[str, ...], said: Transcript, *, within_s: float = CLOSING_S) -> bool:
        """Whether the turns are closed by now; if not, they will be."""
        write = partial(
            self.history.finish,
            runs,
            answer=said.answer,
            state=said.state,
            sources=said.sources,
            citations=said.citations,
            degraded=said.degraded,
        )
        try:
            return await self.outbox.make(runs, write, within_s=within_s)
        except LibriError as exc:
            log.warning("a turn cannot be kept", extra={"error": type(exc).__name__})
            return False
