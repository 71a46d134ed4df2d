"""What is loaded and who waits for a load: one task, one load at a time, as in the real server.

The part of Ollama on which gateways break: requests for a loaded model never queue here, all others stand
behind one another, and each eviction waits for the last request of the model that goes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ollama_emulator.clock import Clock, Timer, sleep
from ollama_emulator.durations import FOR_EVER_S
from ollama_emulator.faults import FaultBook
from ollama_emulator.knobs import Knobs
from ollama_emulator.models import Model
from ollama_emulator.options import RunnerOptions
from ollama_emulator.runner import Place, Runner
from ollama_emulator.truth import Truth

_KILLED = "llama-server process has terminated: signal: killed"
_OOM = "cudaMalloc failed: out of memory"


class Busy(Exception):
    """The queue for loading is full."""


class LoadFailed(Exception):
    """The model could not be loaded; the text is the server's."""


@dataclass(slots=True, eq=False)
class Ask:
    """A request for a runner.

    Args:
        keep_alive_s: None: not named in the request.
    """

    model: Model
    wanted: RunnerOptions
    keep_alive_s: float | None
    request: int
    answer: asyncio.Future[Runner] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Scheduler:
    """Runners by model file, and the queue of those who need one loaded.

    Args:
        held_elsewhere: Bytes of the GPU that others hold, of whom this server knows nothing.
    """

    def __init__(
        self,
        knobs: Knobs,
        clock: Clock,
        faults: FaultBook,
        truth: Truth,
        held_elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        self.knobs = knobs
        self._held_elsewhere = held_elsewhere
        self.loaded: dict[str, Runner] = {}
        self.loading: str | None = None
        self._pending: deque[Ask] = deque()
        self._served: Ask | None = None
        self._arrived = asyncio.Event()
        self._clock, self._faults, self._truth = clock, faults, truth
        self._timers: dict[str, Timer] = {}
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def pending(self) -> int:
        """Requests in the bounded queue (the one being loaded for is no longer in it)."""
        return len(self._pending)

    async def obtain(self, ask: Ask) -> Runner:
        """A runner for `ask`, held until `release`; cancel to give up.

        Raises:
            Busy: Not loaded, and `max_queue` are waiting already.
            LoadFailed: It could not be loaded.
        """
        runner = self.loaded.get(ask.model.blob)
        if runner is not None and not self._needs_reload(runner, ask):
            return self._hold(runner, ask)
        if len(self._pending) >= self.knobs.max_queue:
            raise Busy
        self._pending.append(ask)
        self._arrived.set()
        self._truth.event("pend", ask.request, model=ask.model.name, queue=len(self._pending))
        try:
            return await ask.answer
        except asyncio.CancelledError:
            ask.gone.set()
            if ask.answer.done() and not ask.answer.cancelled() and ask.answer.exception() is None:
                self.release(ask.answer.result())
            raise

    def release(self, runner: Runner) -> None:
        """The HTTP request that held it has ended."""
        runner.refs -= 1
        if runner.refs or self.loaded.get(runner.model.blob) is not runner:
            return
        if runner.keep_alive_s <= 0:
            self._unload(runner)
            return
        runner.expires_s = self._clock.now() + runner.keep_alive_s
        self._timers[runner.model.blob] = self._clock.call_at(runner.expires_s, lambda: self._expired(runner))

    def expire(self, model: Model) -> bool:
        """Unload as soon as nobody holds it; whether it was loaded."""
        runner = self.loaded.get(model.blob)
        if runner is None:
            return False
        self._expire(runner)
        return True

    def expire_all(self) -> None:
        for runner in list(self.loaded.values()):
            self._expire(runner)

    def kill(self, model: Model | None = None) -> int:
        """End the process of one model, or of all, in the middle of whatever it does; how many there were."""
        struck = [r for r in self.loaded.values() if model is None or r.model.blob == model.blob]
        for runner in struck:
            self._truth.event("killed", model=runner.model.name)
            self._unload(runner)
        return len(struck)

    def close(self) -> None:
        """Everything ends at once; who waits is told so."""
        self._task.cancel()
        for runner in list(self.loaded.values()):
            self._unload(runner)
        waiting = [*self._pending, *([self._served] if self._served else [])]
        self._pending.clear()
        for ask in waiting:
            if not ask.answer.done():
                ask.answer.set_exception(LoadFailed(_KILLED))
                ask.answer.exception()

    # -- holding and letting go ---------------------------------------------------------------------------

    def _needs_reload(self, runner: Runner, ask: Ask) -> bool:
        if not runner.healthy:
            return True
        return runner.wanted.differ(ask.wanted, runner.place.num_ctx, self._context(ask))

    def _hold(self, runner: Runner, ask: Ask) -> Runner:
        runner.refs += 1
        self._stop_timer(runner)
        if ask.keep_alive_s is not None:
            runner.keep_alive_s = ask.keep_alive_s
        peaks = self._truth.peak(ask.model.name)
        peaks.in_flight = max(peaks.in_flight, runner.refs)
        return runner

    def _stop_timer(self, runner: Runner) -> None:
        timer = self._timers.pop(runner.model.blob, None)
        if timer is not None:
            timer.cancel()

    def _expired(self, runner: Runner) -> None:
        if self.loaded.get(runner.model.blob) is runner and not runner.refs:
            self._unload(runner)

    def _expire(self, runner: Runner) -> None:
        self._stop_timer(runner)
        runner.keep_alive_s = 0.0
        if not runner.refs:
            self._unload(runner)

    def _unload(self, runner: Runner) -> None:
        self._stop_timer(runner)
        self.loaded.pop(runner.model.blob, None)
        runner.close()
        self._truth.event("evict", model=runner.model.name)

    # -- the one task -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            while not self._pending:
                self._arrived.clear()
                await self._arrived.wait()
            ask = self._served = self._pending.popleft()
            if not ask.gone.is_set():
                await self._give(ask)
            self._served = None

    async def _give(self, ask: Ask) -> None:
        try:
            runner = await self._serve(ask)
        except LoadFailed as exc:
            if not ask.answer.done():
                ask.answer.set_exception(exc)
            return
        if runner is not None:
            self._grant(ask, runner)

    def _grant(self, ask: Ask, runner: Runner) -> None:
        self._hold(runner, ask)
        if ask.answer.done():
            self.release(runner)
        else:
            ask.answer.set_result(runner)

    async def _serve(self, ask: Ask) -> Runner | None:
        while True:
            runner = self.loaded.get(ask.model.blob)
            if runner is not None and not self._needs_reload(runner, ask):
                return runner
            victim = runner or self._victim(ask)
            if victim is None:
                return await self._load(ask)
            self._expire(victim)
            await victim.unloaded.wait()
            await sleep(self._clock, self.knobs.vram_recovery_s)
            if ask.gone.is_set():
                return None

    def _victim(self, ask: Ask) -> Runner | None:
        if not self.loaded:
            return None
        if len(self.loaded) < self.knobs.max_loaded and self._fits(ask):
            return None
        return min(self.loaded.values(), key=lambda r: (r.refs > 0, r.keep_alive_s, r.model.blob))

    def _fits(self, ask: Ask) -> bool:
        if not self.knobs.vram_bytes:
            return True
        used = sum(runner.place.bytes for runner in self.loaded.values())
        return used + self._bytes(ask.model, self._context(ask)) <= self._room()

    def _room(self) -> int:
        """Bytes of the GPU that nobody else holds."""
        return max(0, self.knobs.vram_bytes - self._held_elsewhere())

    def _context(self, ask: Ask) -> int:
        return ask.wanted.num_ctx or min(self.knobs.auto_context, ask.model.train_ctx)

    def _bytes(self, model: Model, num_ctx: int) -> int:
        return model.size + model.kv_bytes_per_token * num_ctx * model.parallel(self.knobs.num_parallel)

    # -- loading ------------------------------------------------------------------------------------------

    async def _load(self, ask: Ask) -> Runner | None:
        name, num_ctx = ask.model.name, self._context(ask)
        self._truth.event("load_begin", ask.request, model=name)
        self.loading = name
        try:
            while self._faults.strike("oom_load", name):
                if self.loaded:
                    await self._evict_others()
                elif ask.wanted.num_ctx is None and num_ctx > 4096:
                    num_ctx = 32_768 if num_ctx > 32_768 else 4096
                else:
                    raise LoadFailed(f"llama-server process has terminated: exit status 1: {_OOM}")
            if not await self._loading(ask):
                self._truth.event("load_abort", ask.request, model=name)
                return None
        finally:
            self.loading = None
        runner = Runner(
            ask.model, ask.wanted, self._place(ask.model, num_ctx), self._clock, self._faults, self._truth
        )
        if self.knobs.one_gpu:
            runner.rivals = lambda: sum(bool(other.active) for other in self.loaded.values())
        runner.keep_alive_s = self.knobs.keep_alive_s
        if runner.keep_alive_s < 0:
            runner.keep_alive_s = FOR_EVER_S
        runner.stuck = self._faults.strike("stuck_runner", name) is not None
        self.loaded[ask.model.blob] = runner
        self._truth.event("load_end", ask.request, model=name, num_ctx=num_ctx)
        return runner

    def _place(self, model: Model, num_ctx: int) -> Place:
        needed = self._bytes(model, num_ctx)
        vram = min(needed, self._room()) if self.knobs.vram_bytes else needed
        parallel = model.parallel(self.knobs.num_parallel)
        return Place(num_ctx, parallel, needed, vram, self.knobs.host_cache_mib * 1024 * 1024)

    async def _evict_others(self) -> None:
        others = list(self.loaded.values())
        for runner in others:
            self._expire(runner)
        for runner in others:
            await runner.unloaded.wait()

    async def _loading(self, ask: Ask) -> bool:
        """Take as long as the load takes; False if the client left meanwhile: its progress is lost.

        Raises:
            LoadFailed: By a fault, or because it stood still for too long.
        """
        name, seconds, failure = ask.model.name, ask.model.speeds.load_s, ""
        if slow := self._faults.peek("slow_load", name):
            seconds *= slow.number("factor", 10.0)
        if failed := self._faults.strike("load_fail", name):
            reason = failed.text("message", "error loading model")
            seconds *= failed.number("at", 0.5)
            failure = f"llama-server process has terminated: exit status 1: {reason}"
        elif self._faults.strike("load_stall", name):
            seconds, failure = self.knobs.load_timeout_s, "timed out waiting for llama-server to start - "
        if not await self._unless_gone(ask, seconds):
            return False
        if failure:
            self._truth.event("load_end", ask.request, model=name, failed=failure)
            raise LoadFailed(failure)
        return True

    async def _unless_gone(self, ask: Ask, seconds: float) -> bool:
        work = asyncio.ensure_future(sleep(self._clock, seconds))
        gone = asyncio.ensure_future(ask.gone.wait())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            gone.cancel()
        return not ask.gone.is_set()
