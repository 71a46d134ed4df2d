"""A loaded model: its semaphore, its slots, and the loop that moves all of them one step at a time."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ollama_emulator.clock import Clock
from ollama_emulator.faults import FaultBook
from ollama_emulator.generation import End, Generation
from ollama_emulator.models import Model
from ollama_emulator.options import RunnerOptions
from ollama_emulator.prefix import Slots
from ollama_emulator.truth import Truth

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the scheduler put a runner.

    Attributes:
        num_ctx: In force, after clamping and any lowering.
        vram_bytes: Of `bytes`, those on the GPU.
    """

    num_ctx: int
    parallel: int
    bytes: int
    vram_bytes: int
    host_cache_bytes: int


class Runner:
    """One llama-server process, in effect.

    Attributes:
        refs: Requests that hold it, in a slot or waiting for one.
        keep_alive_s: Of the last request that named one.
        expires_s: Set each time it becomes idle; None until then.
        unloaded: Set once it is gone.
        rivals: How many runners, this one included, share the machine now.
    """

    def __init__(
        self, model: Model, wanted: RunnerOptions, place: Place, clock: Clock, faults: FaultBook, truth: Truth
    ) -> None:
        self.model = model
        self.wanted = wanted
        self.place = place
        self.refs = 0
        self.keep_alive_s = 0.0
        self.expires_s: float | None = None
        self.unloaded = asyncio.Event()
        self.stuck = False
        kept = place.host_cache_bytes // model.kv_bytes_per_token if model.kv_bytes_per_token else 0
        self.slots = Slots.make(place.parallel, kept)
        self.active: list[Generation] = []
        self._clock, self._faults, self._truth = clock, faults, truth
        self._free = place.parallel
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._work = asyncio.Event()
        self._ideal_s: float | None = None
        self.rivals: Callable[[], int] = lambda: 1
        self._dice = random.Random(model.name)
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def healthy(self) -> bool:
        return not self.stuck

    @property
    def is_dead(self) -> bool:
        """Its process has ended, whoever may still hold it."""
        return self.unloaded.is_set()

    @property
    def waiting(self) -> int:
        """Requests waiting for a slot: nothing bounds them."""
        return len(self._waiting)

    # -- the semaphore ------------------------------------------------------------------------------------

    async def enter(self) -> None:
        """Wait for a slot, first come first served, for as long as it takes; cancel to leave the queue."""
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        peaks = self._truth.peak(self.model.name)
        peaks.waiting = max(peaks.waiting, len(self._waiting))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Hand the permit to whoever has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    # -- slots --------------------------------------------------------------------------------------------

    def start(self, generation: Generation) -> None:
        """Put it in a slot (its caller has entered); it is read and answered from the next step on."""
        slot, cached = self.slots.take(generation.prompt, self._clock.now())
        generation.slot, generation.cached, generation.read = slot, cached, cached
        record = generation.record
        record.slot, record.cached_tokens, record.prompt_tokens = slot.id, cached, len(generation.prompt)
        self.active.append(generation)
        peaks = self._truth.peak(self.model.name)
        peaks.slots = max(peaks.slots, len(self.active))
        self._truth.event("slot_get", record.id, model=self.model.name, slot=slot.id, cached=cached)
        self._work.set()

    def close(self) -> None:
        """The process ends; whatever it was doing ends with it."""
        self._task.cancel()
        for generation in list(self.active):
            self._free_slot(generation, "runner_gone")
        self.unloaded.set()

    def poke(self) -> None:
        """Something changed (a fault was cleared): look again."""
        self._work.set()

    def _free_slot(self, generation: Generation, end: End) -> None:
        self.active.remove(generation)
        if generation.slot is not None:
            said = generation.prompt[: generation.read] + generation.output
            self.slots.give_back(generation.slot, said, self._clock.now())
            self._truth.event(
                "slot_free", generation.record.id, model=self.model.name, slot=generation.slot.id
            )
        if end == "cancelled":
            self._truth.event("cancel", generation.record.id, model=self.model.name)
        if not generation.ended.done():
            generation.ended.set_result(end)
        generation.released()

    # -- the loop -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        clock = self._clock
        while True:
            self._sweep()
            reading, writing = self._due(clock.now())
            if not reading and not writing:
                await self._idle()
                continue
            shares = self._batch(reading)
            begun = clock.now()
            await clock.sleep_until(self._next_end(begun, sum(shares), len(writing)))
            self._apply(reading, shares, writing, clock.now() - begun)

    def _sweep(self) -> None:
        for generation in [g for g in self.active if g.cancelled]:
            self._free_slot(generation, "cancelled")

    def _due(self, now_s: float) -> tuple[list[Generation], list[Generation]]:
        if self.stuck:
            return [], []
        reading = [g for g in self.active if g.unread]
        return reading, [g for g in self.active if not g.unread and g.frozen_until_s <= now_s]

    async def _idle(self) -> None:
        self._work.clear()
        self._ideal_s = None
        thaw = min((g.frozen_until_s for g in self.active if not g.unread), default=FOREVER)
        if self.stuck or thaw == FOREVER:
            await self._work.wait()
            return
        wait = asyncio.ensure_future(self._work.wait())
        nap = asyncio.ensure_future(self._clock.sleep_until(thaw))
        try:
            await asyncio.wait({wait, nap}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wait.cancel()
            nap.cancel()

    def _batch(self, reading: list[Generation]) -> list[int]:
        room = self.wanted.num_batch or self.model.speeds.n_batch
        shares: list[int] = []
        for generation in reading:
            shares.append(min(generation.unread, room))
            room -= shares[-1]
        return shares

    def _next_end(self, now_s: float, prompt_tokens: int, busy: int) -> float:
        """When this step ends.

        Counted from when the last one should have ended, so that a late timer costs no throughput: the GPU
        this stands for would not have waited for our event loop. What can not be caught up is noted as lost.
        """
        begun = now_s if self._ideal_s is None else self._ideal_s
        if now_s - begun >= self._clock.lag_s:
            self._truth.lost_s += now_s - begun
            begun = now_s
        self._ideal_s = begun + self._step_s(prompt_tokens, busy)
        return self._ideal_s

    def _step_s(self, prompt_tokens: int, busy: int) -> float:
        speeds, name = self.model.speeds, self.model.name
        prefill_factor = decode_factor = 1.0
        slow = float(max(1, self.rivals()))
        if self.place.vram_bytes < self.place.bytes:
            decode_factor = self.model.cpu_factor
        if lost := self._faults.peek("gpu_lost", name):
            decode_factor = lost.number("factor", self.model.cpu_factor)
            prefill_factor = lost.number("prefill_factor", 1.0)
        if throttle := self._faults.peek("throttle", name):
            slow *= throttle.number("factor", 2.0)
        if jitter := self._faults.peek("jitter", name):
            slow *= self._dice.lognormvariate(0.0, jitter.number("sigma", 0.5))
        reading = prompt_tokens / (speeds.prefill_tps * prefill_factor)
        writing = busy / (speeds.decode_tps(busy) * decode_factor) if busy else 0.0
        return (reading + writing) * slow

    def _apply(
        self, reading: list[Generation], shares: list[int], writing: list[Generation], took_s: float
    ) -> None:
        """What the step brought: prompts read, one token from every slot that was writing.

        The step that reads the last of a prompt also yields the first token, as in llama-server.
        """
        now_s = self._clock.now()
        for generation in writing:
            self._token(generation, now_s)
        for generation, share in zip(reading, shares, strict=True):
            generation.prefill_s += took_s if share else 0.0
            generation.read += share
            if share and not generation.unread:
                self._read_whole(generation, now_s)

    def _read_whole(self, generation: Generation, now_s: float) -> None:
        if not generation.limit:
            self._free_slot(generation, "cancelled" if generation.cancelled else "embedded")
        elif not generation.cancelled:
            if generation.freeze is not None and not generation.freeze[0]:
                generation.frozen_until_s = now_s + generation.freeze[1]
                return
            self._token(generation, now_s)

    def _token(self, generation: Generation, now_s: float) -> None:
        if generation.ended.done():
            return
        if generation.record.gone_s is not None:
            generation.record.tokens_after_gone += 1
        if generation.cancelled:
            generation.record.tokens += 1
            return
        is_first = not generation.output
        end = generation.next_token(now_s)
        if is_first and generation.output:
            self._truth.event("first_token", generation.record.id, model=self.model.name)
        if end is not None:
            self._free_slot(generation, end)
