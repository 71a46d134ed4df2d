"""The objects of one response on their way out, and the faults that strike them there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from ollama_emulator.encoders import Encoder
from ollama_emulator.faults import Fault, FaultBook
from ollama_emulator.http import Exchange
from ollama_emulator.truth import Record
from ollama_emulator.wire import BARE_JSON, Outcome

FATAL = ("error_mid", "eof_mid", "reset_mid", "truncate_line")
HARMLESS = ("garbage_line", "blank_line")
RUNNER_ERROR = "an error was encountered while running the model: unexpected EOF"
GARBAGE = b'{"model":"\xff\xfe!! not json\n'
RESET_GRACE_S = 0.02
"""What was written before a reset is given so long to reach the client."""


@dataclass(slots=True)
class Sender:
    """Writes the objects of one response.

    Args:
        stream: False: nothing is written until `finish`.

    Attributes:
        broken: The kind of fault that ended the response, if one did.
        on_broken: Called at that moment.
    """

    exchange: Exchange
    encoder: Encoder
    record: Record
    stream: bool
    mid: Fault | None = None
    broken: str = ""
    on_broken: Callable[[], None] = lambda: None
    _thoughts: list[str] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)

    @classmethod
    def make(
        cls, exchange: Exchange, encoder: Encoder, record: Record, faults: FaultBook, *, stream: bool
    ) -> Sender:
        """With the fault, if any, that will strike this response."""
        path = exchange.request.path
        struck = (faults.strike(kind, record.model, path) for kind in (*FATAL, *HARMLESS))
        return cls(exchange, encoder, record, stream, next((f for f in struck if f is not None), None))

    def piece(self, is_thinking: bool, text: str) -> None:
        """Some text; called for each token, so it does no more than it must."""
        if self.stream:
            self.send(self.encoder.piece(is_thinking, text))
        else:
            (self._thoughts if is_thinking else self._texts).append(text)

    def send(self, data: bytes) -> None:
        """One object, unless this is the one a fault was waiting for."""
        if self.broken:
            return
        if self.mid is not None and self.record.objects == int(self.mid.number("k", 3)):
            data = self._strike(self.mid, data)
            if not data:
                return
        if not self.exchange.begun:
            self._begin()
        self.record.objects += 1
        self.exchange.chunk(data)

    def finish(self, outcome: Outcome) -> None:
        """The last object and the clean end; or the whole response."""
        if self.broken:
            return
        outcome.content, outcome.thinking = "".join(self._texts), "".join(self._thoughts)
        if not self.stream:
            self._whole(outcome)
            return
        if outcome.done:
            for data in self.encoder.final(outcome):
                self.send(data)
        if not self.broken:
            if not self.exchange.begun:
                self._begin()
            self.exchange.end()

    def fail(self, status: int, message: str) -> None:
        """An error: with its status if nothing was sent yet, else as a last line."""
        if self.broken:
            return
        self.record.outcome = "error"
        if self.exchange.begun:
            self.exchange.chunk(self.encoder.error_line(message))
            self.exchange.end()
        else:
            self.record.status = status
            body = self.encoder.error(status, message)
            if self.stream:
                self.exchange.piped(status, BARE_JSON, body)
            else:
                self.exchange.whole(status, self.encoder.whole_type, body)

    async def settle(self) -> None:
        """After a reset was ordered: let what was written arrive, then cut."""
        if self.broken == "reset_mid" and not self.exchange.finished:
            await self.exchange.drain()
            await asyncio.sleep(RESET_GRACE_S)
            self.exchange.reset()

    def _begin(self) -> None:
        self.record.status = 200
        self.exchange.begin(200, self.encoder.stream_type)

    def _strike(self, fault: Fault, data: bytes) -> bytes:
        """What is sent in place of `data`; empty if the response is over."""
        self.mid = None
        if fault.kind == "garbage_line":
            return GARBAGE + data
        if fault.kind == "blank_line":
            return b"\n" + data
        if fault.kind == "error_mid":
            self.fail(500, fault.text("message", RUNNER_ERROR))
        elif fault.kind != "reset_mid":
            if not self.exchange.begun:
                self._begin()
            if fault.kind == "truncate_line":
                self.exchange.chunk(data[: len(data) // 2])
            self.exchange.end()
        self._break(fault.kind)
        return b""

    def _break(self, kind: str) -> None:
        self.broken = self.record.outcome = kind
        self.on_broken()

    def _whole(self, outcome: Outcome) -> None:
        kind = self.mid.kind if self.mid is not None else ""
        body, status, media = self.encoder.whole(outcome), 200, self.encoder.whole_type
        if kind == "error_mid" and self.mid is not None:
            self.fail(500, self.mid.text("message", RUNNER_ERROR))
            return
        if kind == "reset_mid":
            self._break(kind)
            return
        if kind == "truncate_line":
            self._break(kind)
            self.exchange.cut_short(status, media, body[: len(body) // 2], len(body))
            return
        if kind == "eof_mid":
            body = self.encoder.whole(Outcome(done=False, content=outcome.content, metrics=outcome.metrics))
        if kind in HARMLESS:
            body = (GARBAGE if kind == "garbage_line" else b"\n") + body
        self.record.status = status
        self.exchange.whole(status, media, body)
