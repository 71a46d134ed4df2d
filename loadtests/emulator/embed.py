"""`/api/embed`, the older `/api/embeddings`, and what OpenAI's dialect makes of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.emulator.call import Call, Refused
from loadtests.emulator.generate import Hold, hold_runner
from loadtests.emulator.generation import Generation
from loadtests.emulator.models import Model
from loadtests.emulator.native import requested_keep_alive
from loadtests.emulator.options import BadOption, checked, runner_options
from loadtests.emulator.replies import Reply
from loadtests.emulator.tokens import tokenise
from loadtests.emulator.wire import Metrics

Vectors = list[NDArray[np.float32]]


async def embed(call: Call) -> None:
    body = call.body()
    vectors, metrics = await embedded(call, body)
    call.json({"model": body["model"], "embeddings": vectors} | metrics.fields())


async def embeddings(call: Call) -> None:
    """The older form: one prompt, one vector, no metrics."""
    body = call.body()
    vectors, _ = await embedded(call, {**body, "input": body.get("prompt") or ""})
    call.json({"embedding": vectors[0] if vectors else []})


async def embedded(call: Call, body: Mapping[str, Any]) -> tuple[Vectors, Metrics]:
    """A unit vector for each input, one after the other through the runner's semaphore.

    Raises:
        Refused: 400 for an input that is neither text nor texts, or too long; 404 without the model.
    """
    inputs = _inputs(body.get("input"))
    model = _model(call, body.get("model"))
    try:
        wanted = runner_options(model, checked(body.get("options") or {}))
    except BadOption as exc:
        raise Refused(500, str(exc)) from exc
    hold = await hold_runner(call, model, wanted, requested_keep_alive(body))
    loaded_s = call.instance.clock.now()
    try:
        read = 0
        vectors: Vectors = []
        for text in inputs:
            tokens = _fitted(tokenise(text), hold.runner.place.num_ctx, body)
            read += len(tokens)
            await _read(call, hold, tokens)
            vectors.append(vector(text, model, body.get("dimensions")))
    finally:
        if not hold.at_free:
            hold.give_back()
    total_s = call.instance.clock.now() - call.record.arrived_s
    return vectors, Metrics(total_s, loaded_s - call.record.arrived_s, prompt_tokens=read)


async def _read(call: Call, hold: Hold, tokens: list[str]) -> None:
    runner = hold.runner
    await runner.enter()
    work = Generation(tokens or [""], Reply(()), 0, call.record, lambda _thinking, _text: None)

    def freed() -> None:
        runner.leave()
        if hold.at_free:
            hold.give_back()

    work.released = freed
    runner.start(work)
    try:
        await asyncio.wait((work.ended,))
    except asyncio.CancelledError:
        hold.at_free = not work.ended.done()
        work.cancel()
        runner.poke()
        raise


def vector(text: str, model: Model, dimensions: Any = None) -> NDArray[np.float32]:
    """float32[d], of length one, the same for the same text and model; `dimensions` cuts and renormalises."""
    seed = int.from_bytes(hashlib.sha256(f"{model.digest}|{text}".encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).standard_normal(model.embed_dim).astype(np.float32)
    if dimensions:
        drawn = drawn[: int(dimensions)]
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def _inputs(value: Any) -> Sequence[str]:
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise Refused(400, "invalid input type")


def _model(call: Call, name: Any) -> Model:
    found = call.instance.table.find(name) if isinstance(name, str) else None
    if found is None:
        raise Refused(404, f'model "{name or ""}" not found, try pulling it first')
    call.record.model = found.name
    return found


def _fitted(tokens: list[str], num_ctx: int, body: Mapping[str, Any]) -> list[str]:
    if len(tokens) > num_ctx and body.get("truncate") is False:
        raise Refused(400, "the input length exceeds the context length")
    return tokens[:num_ctx]
