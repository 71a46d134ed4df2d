"""`/api/embed`, the older `/api/embeddings`, and what OpenAI's dialect makes of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ollama_emulator.call import INVALID_NAME, Call, Refused
from ollama_emulator.durations import keep_alive
from ollama_emulator.generate import Hold, hold_runner
from ollama_emulator.generation import Generation
from ollama_emulator.gojson import quoted
from ollama_emulator.models import Model, is_valid_name
from ollama_emulator.options import BadOption, checked, runner_options
from ollama_emulator.replies import Reply
from ollama_emulator.requests import EMBED, EMBEDDINGS
from ollama_emulator.tokens import tokenise
from ollama_emulator.wire import LEAST_S, Metrics

NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"
RUNNER_DIED = 'do embedding request: Post "http://127.0.0.1:40000/embedding": EOF'
Vectors = list[NDArray[np.float32]]


async def embed(call: Call) -> None:
    body = call.body(EMBED)
    vectors, metrics = await embedded(call, body)
    call.json({"model": body["model"], "embeddings": vectors} | metrics.fields())


async def embeddings(call: Call) -> None:
    """The older form: one prompt, one vector, no metrics."""
    body = call.body(EMBEDDINGS)
    vectors, _ = await embedded(call, {**body, "input": body.get("prompt") or ""})
    call.json({"embedding": vectors[0] if vectors else []})


async def embedded(call: Call, body: Mapping[str, Any]) -> tuple[Vectors, Metrics]:
    """A unit vector for each input, one after the other through the runner's semaphore.

    Raises:
        Refused: 400 for an input that is neither text nor texts, or too long; 404 without the model; 501
            from a model that does not embed.
    """
    name = str(body.get("model") or "")
    if name and not is_valid_name(name):
        raise Refused(400, INVALID_NAME)
    inputs = _inputs(body.get("input"))
    model = _model(call, name)
    try:
        wanted = runner_options(model, checked(body.get("options") or {}))
    except BadOption as exc:
        raise Refused(500, str(exc)) from exc
    hold = await hold_runner(call, model, wanted, keep_alive(body.get("keep_alive")))
    loaded_s = call.instance.clock.now()
    try:
        if not inputs:
            return [], Metrics()
        if "embedding" not in model.capabilities:
            raise Refused(501, NO_EMBEDDINGS)
        read = 0
        vectors: Vectors = []
        for text in inputs:
            tokens = _fitted(tokenise(text, model.word_letters), hold.runner.place.num_ctx, body)
            read += len(tokens)
            await _read(call, hold, tokens)
            vectors.append(vector(text, model, body.get("dimensions")))
    finally:
        if not hold.at_free:
            hold.give_back()
    total_s = call.instance.clock.now() - call.record.arrived_s
    load_s = max(loaded_s - call.record.arrived_s, LEAST_S)
    return vectors, Metrics(max(total_s, load_s), load_s, prompt_tokens=read)


async def _read(call: Call, hold: Hold, tokens: list[str]) -> None:
    runner = hold.runner
    await runner.enter()
    if runner.is_dead:
        runner.leave()
        raise Refused(400, RUNNER_DIED)
    work = Generation(tokens or [""], Reply(()), 0, call.record, lambda _thinking, _text: None)

    def freed() -> None:
        runner.leave()
        if hold.at_free:
            hold.give_back()

    work.released = freed
    runner.start(work)
    try:
        await asyncio.wait((work.ended,))
        if work.ended.result() == "runner_gone":
            raise Refused(400, RUNNER_DIED)
    except asyncio.CancelledError:
        hold.at_free = not work.ended.done()
        work.cancel()
        runner.poke()
        raise


def vector(text: str, model: Model, dimensions: Any = None) -> NDArray[np.float32]:
    """float32[d], of length one, the same for the same text and model; `dimensions` cuts and renormalises."""
    seed = int.from_bytes(hashlib.sha256(f"{model.digest}|{text}".encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).standard_normal(model.embed_dim).astype(np.float32)
    if dimensions and dimensions > 0:
        drawn = drawn[: int(dimensions)]
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def _inputs(value: Any) -> Sequence[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise Refused(400, "invalid input type")


def _model(call: Call, name: str) -> Model:
    if not name:
        raise Refused(404, "model '' not found")
    found = call.instance.table.find(name)
    if found is None:
        raise Refused(404, f"model {quoted(name)} not found, try pulling it first")
    call.record.model = found.name
    return found


def _fitted(tokens: list[str], num_ctx: int, body: Mapping[str, Any]) -> list[str]:
    if len(tokens) > num_ctx and body.get("truncate") is False:
        raise Refused(400, "the input length exceeds the context length")
    return tokens[:num_ctx]
