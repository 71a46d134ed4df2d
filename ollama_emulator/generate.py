"""The way of one generation: a runner, a place in the prompt, a slot, the tokens, the last object."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from ollama_emulator.call import Call, Refused
from ollama_emulator.dialogue import Chat, Text, TooLong
from ollama_emulator.encoders import Encoder
from ollama_emulator.generation import Generation
from ollama_emulator.gojson import quoted
from ollama_emulator.models import Model
from ollama_emulator.options import RunnerOptions
from ollama_emulator.replies import Prompted
from ollama_emulator.runner import Runner
from ollama_emulator.scheduler import Ask, Busy, LoadFailed, Scheduler
from ollama_emulator.sending import RUNNER_ERROR, Sender
from ollama_emulator.wire import LEAST_S, Metrics, Outcome

RUNTIME_OOM = "an error was encountered while running the model: CUDA error: out of memory"
RUNNER_GONE = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)
QUEUE_FULL = "server busy, please try again.  maximum pending requests exceeded"


@dataclass(slots=True)
class Job:
    """What a request asks for, whatever its dialect.

    Attributes:
        keep_alive_s: None: not named.
        context_ids: Turns the tokens of prompt and answer into the ids `/api/generate` returns.
        only_load: No prompt: load the model and say so.
    """

    model: Model
    wanted: RunnerOptions
    options: dict[str, Any]
    prompt: Chat | Text
    asked: Prompted
    stream: bool = True
    truncate: bool = True
    keep_alive_s: float | None = None
    format: Any = None
    only_load: bool = False
    rendered: bool = False
    context_ids: Callable[[list[str]], list[int]] | None = None


@dataclass(slots=True)
class Hold:
    """A runner's reference count, given back once, when the HTTP request ends."""

    scheduler: Scheduler
    runner: Runner
    at_free: bool = False
    _given_back: bool = field(default=False)

    def give_back(self) -> None:
        if not self._given_back:
            self._given_back = True
            self.scheduler.release(self.runner)


async def hold_runner(call: Call, model: Model, wanted: RunnerOptions, keep_alive_s: float | None) -> Hold:
    """A loaded runner, after however long that takes.

    Raises:
        Refused: 503 when the queue is full, 500 when loading failed.
    """
    scheduler = call.instance.scheduler
    call.record.model = model.name
    try:
        runner = await scheduler.obtain(Ask(model, wanted, keep_alive_s, call.record.id))
    except Busy:
        raise Refused(503, QUEUE_FULL) from None
    except LoadFailed as exc:
        raise Refused(500, str(exc)) from exc
    return Hold(scheduler, runner)


async def run(call: Call, job: Job, encoder: Encoder) -> None:
    """Answer `job`, all the way to the end of the response.

    Raises:
        Refused: Before anything was sent.
    """
    hold = await hold_runner(call, job.model, job.wanted, job.keep_alive_s)
    loaded_s = call.instance.clock.now()
    try:
        if job.only_load:
            call.whole(encoder.whole(Outcome(reason="load")), encoder.whole_type)
            return
        try:
            _check_format(job.format)
            num_ctx = hold.runner.place.num_ctx
            prompt = job.prompt.fit(num_ctx, truncate=job.truncate, shift=job.wanted.shift)
        except TooLong as exc:
            raise Refused(400, str(exc), late=job.stream) from exc
        except ValueError as exc:
            raise Refused(500, str(exc), late=job.stream) from exc
        await _enter(job, hold.runner)
        await _generate(call, job, encoder, hold, prompt, loaded_s)
    finally:
        if not hold.at_free:
            hold.give_back()


def _check_format(value: Any) -> None:
    """Raises `ValueError` for what is neither "json" nor a schema; null and "" are as good as nothing."""
    if value not in (None, "", "json") and not isinstance(value, dict):
        raw = orjson.dumps(value).decode()
        raise ValueError(f'invalid format: {quoted(raw)}; expected "json" or a valid JSON Schema object')


async def _enter(job: Job, runner: Runner) -> None:
    """Wait for a slot; the process may die meanwhile."""
    await runner.enter()
    if runner.is_dead:
        runner.leave()
        raise Refused(500, RUNNER_GONE, late=job.stream)


async def _generate(
    call: Call, job: Job, encoder: Encoder, hold: Hold, prompt: list[str], loaded_s: float
) -> None:
    runner = hold.runner
    sender = Sender.make(call.exchange, encoder, call.record, call.instance.faults, stream=job.stream)
    generation = _generation(call, job, prompt, runner, sender)

    def freed() -> None:
        runner.leave()
        if hold.at_free:
            hold.give_back()

    def stop() -> None:
        generation.cancel()
        runner.poke()

    generation.released = freed
    sender.on_broken = stop
    call.exchange.on_gone.append(stop)
    runner.start(generation)
    try:
        await asyncio.wait((generation.ended,))
        _finish(call, job, sender, generation, loaded_s)
        await sender.settle()
        await call.exchange.drain()
    except asyncio.CancelledError:
        hold.at_free = not generation.ended.done()
        stop()
        raise


def _generation(call: Call, job: Job, prompt: list[str], runner: Runner, sender: Sender) -> Generation:
    faults, name = call.instance.faults, job.model.name
    path = call.exchange.request.path
    freeze = faults.strike("freeze", name, path)
    oom = faults.strike("oom_runtime", name, path)
    source = call.instance.knobs.reply
    return Generation(
        prompt,
        source.reply(job.asked, job.model.after_assistant, call.instance.knobs.seed),
        _limit(job, runner.place.num_ctx, len(prompt)),
        call.record,
        sender.piece,
        stops=tuple(s for s in job.options.get("stop") or () if s),
        watch_loops=job.rendered,
        freeze=(int(freeze.number("k", 3)), freeze.number("s", float("inf"))) if freeze else None,
        die_after=int(oom.number("k", 3)) if oom else None,
        deaf=faults.strike("ignore_disconnect", name, path) is not None,
    )


def _limit(job: Job, num_ctx: int, prompt_tokens: int) -> int:
    """Most tokens to generate: never more than ten contexts, nor beyond the context if it cannot shift."""
    asked = int(job.options.get("num_predict", -1))
    limit = 10 * num_ctx if asked <= 0 else min(asked, 10 * num_ctx)
    return limit if job.wanted.shift else max(1, min(limit, num_ctx - prompt_tokens))


def _finish(call: Call, job: Job, sender: Sender, generation: Generation, loaded_s: float) -> None:
    end = generation.ended.result()
    if end == "oom":
        sender.fail(500, RUNTIME_OOM)
        call.instance.scheduler.expire_all()
    elif end == "runner_gone":
        sender.fail(500, RUNNER_ERROR if call.exchange.begun else RUNNER_GONE)
    elif not sender.broken:
        outcome = Outcome(done=end != "loop", reason="length" if end == "length" else "stop")
        outcome.metrics = _metrics(call, generation, loaded_s)
        if call.instance.faults.strike("no_done_reason", call.record.model, call.exchange.request.path):
            outcome.reason = ""
        if end == "stop" and generation.reply.tool_calls:
            outcome.tool_calls = _tool_calls(generation)
            if not job.model.native and sender.stream:
                sender.send(sender.encoder.tools(outcome.tool_calls))
                outcome.tools_sent = True
        if job.context_ids is not None:
            outcome.context = job.context_ids(generation.prompt + generation.output)
        sender.finish(outcome)


def _tool_calls(generation: Generation) -> list[dict[str, Any]]:
    """As the API shows them; ids follow from the request, so that streams can be compared."""
    return [
        {
            "id": f"call_{call.get('id') or format(abs(hash_of(repr((call, i)))), '08x')[:8]}",
            "function": {"index": i, "name": call["name"], "arguments": call.get("arguments", {})},
        }
        for i, call in enumerate(generation.reply.tool_calls)
    ]


def hash_of(text: str) -> int:
    """Thirty-two bits that follow from `text` alone."""
    return zlib.crc32(text.encode())


def _metrics(call: Call, generation: Generation, loaded_s: float) -> Metrics:
    now_s = call.instance.clock.now()
    if call.instance.faults.strike("drop_done_metrics", call.record.model, call.exchange.request.path):
        return Metrics()
    first = generation.first_token_s
    load_s = max(loaded_s - call.record.arrived_s, LEAST_S)
    prompt_s = max(generation.prefill_s, LEAST_S)
    eval_s = max(generation.last_token_s - first, 1e-6) if first is not None else 0.0
    return Metrics(
        total_s=max(now_s - call.record.arrived_s, load_s + prompt_s + eval_s),
        load_s=load_s,
        prompt_tokens=len(generation.prompt),
        prompt_s=prompt_s,
        tokens=len(generation.output),
        eval_s=eval_s,
    )
