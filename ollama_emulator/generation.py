"""One sequence in a slot: how much of its prompt is read, what it has said, why it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ollama_emulator.prefix import Slot
from ollama_emulator.replies import Reply
from ollama_emulator.truth import Record

End = Literal["stop", "length", "loop", "oom", "runner_gone", "embedded", "cancelled"]
Emit = Callable[[bool, str], None]
"""Called with (is it thinking, text) for each object's worth of text."""

LOOP_LIMIT = 30
"""More equal tokens than this in a row, and the rendered path gives up without a last object."""


@dataclass(slots=True, eq=False)
class Generation:
    """Work for a runner.

    Args:
        limit: Most tokens to generate; 0: only read the prompt (embeddings).
        stops: Strings that end the answer and are cut off.
        watch_loops: Give up after a run of equal tokens.
        freeze: After so many tokens, so many seconds (infinite: for ever).
        die_after: Run out of memory after so many tokens.
        deaf: Go on when the client has gone.
    """

    prompt: list[str]
    reply: Reply
    limit: int
    record: Record
    emit: Emit
    stops: tuple[str, ...] = ()
    watch_loops: bool = False
    freeze: tuple[int, float] | None = None
    die_after: int | None = None
    deaf: bool = False
    released: Callable[[], None] = lambda: None
    ended: asyncio.Future[End] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    slot: Slot | None = None
    cached: int = 0
    read: int = 0
    output: list[str] = field(default_factory=list)
    frozen_until_s: float = 0.0
    cancelled: bool = False
    prefill_s: float = 0.0
    first_token_s: float | None = None
    last_token_s: float = 0.0
    _held: str = ""
    _run: int = 0
    _last: str = ""

    @property
    def unread(self) -> int:
        """Prompt tokens still to be read."""
        return len(self.prompt) - self.read

    def cancel(self) -> None:
        """The client has gone: the runner frees the slot at its next boundary."""
        self.cancelled = not self.deaf

    def next_token(self, now_s: float) -> End | None:
        """Generate one token and say what may be said; why it is over, if it is."""
        reply = self.reply
        position = len(self.output)
        if self.die_after is not None and position >= self.die_after:
            return "oom"
        if position >= len(reply.tokens) and not (reply.endless and reply.tokens):
            return self._flush("stop")
        token = reply.tokens[position % len(reply.tokens)]
        self.output.append(token)
        self.record.tokens += 1
        if self.first_token_s is None:
            self.first_token_s = self.record.first_token_s = now_s
        self.last_token_s = now_s
        if self.freeze is not None and position + 1 == self.freeze[0]:
            self.frozen_until_s = now_s + self.freeze[1]
        is_hidden = position >= len(reply.tokens) - reply.hidden and reply.hidden > 0
        said = None if is_hidden else self._say(token, position < reply.thinking)
        return said or self._whether_over(position + 1)

    def _whether_over(self, count: int) -> End | None:
        if self.frozen_until_s > self.last_token_s:
            return None
        if count >= len(self.reply.tokens) and not self.reply.endless:
            return None if self.die_after is not None else self._flush("stop")
        return self._flush("length") if count >= self.limit else None

    def _say(self, token: str, is_thinking: bool) -> End | None:
        if self.watch_loops:
            trimmed = token.strip()
            self._run = self._run + 1 if trimmed == self._last else 0
            self._last = trimmed
            if self._run > LOOP_LIMIT:
                return "loop"
        if not self.stops or is_thinking:
            self.emit(is_thinking, token)
            return None
        self._held += token
        cut = min((at for stop in self.stops if (at := self._held.find(stop)) >= 0), default=-1)
        if cut >= 0:
            self._held = self._held[:cut]
            return self._flush("stop")
        keep = _may_begin_a_stop(self._held, self.stops)
        if ready := self._held[: len(self._held) - keep]:
            self._held = self._held[len(ready) :]
            self.emit(False, ready)
        return None

    def _flush(self, end: End) -> End:
        if self._held:
            self.emit(False, self._held)
            self._held = ""
        return end


def _may_begin_a_stop(text: str, stops: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that a stop string begins with."""
    longest = max(map(len, stops)) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-size:]) for stop in stops):
            return size
    return 0
