"""What is known of each instance: what it says of itself, and how fast it was measured to be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from backend.core.errors import EngineError, EngineRefused, EngineUnreachable
from backend.core.model_names import is_offerable
from backend.engines.base import LoadedModel, ModelInfo
from backend.pool.base import Instance, OfferedModel
from backend.pool.board.base import Note
from backend.pool.choose import Facts
from backend.pool.contexts import noted_contexts, reloaded

T = TypeVar("T")
Called = Callable[[Iterable[str]], tuple[str, ...]]
"""What the models are called in the pool that an instance calls so."""
_SPEED_STEP = 0.2
_SLOWER = 0.35
"""A speed below this share of the best ever measured is worth telling an operator."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at an instance; None is what it did not say in time.

    Attributes:
        dead: It refused the connection, answered 5xx, or refuses whatever we ask.
        left_out: Names it listed by which no model can be asked for.
    """

    models: tuple[ModelInfo, ...] | None
    loaded: tuple[LoadedModel, ...] | None
    dead: EngineUnreachable | EngineRefused | None = None
    left_out: tuple[str, ...] = ()


async def look(instance: Instance, timeout_s: float) -> Seen:
    """Ask a server what it has, and what of it is loaded."""
    models, loaded = await asyncio.gather(
        _bounded(instance.engine.models(instance.endpoint), timeout_s),
        _bounded(instance.engine.loaded(instance.endpoint), timeout_s),
    )
    if isinstance(models, EngineUnreachable | EngineRefused):
        return Seen(None, None, models)
    return Seen(
        None if isinstance(models, Exception) else tuple(m for m in models if is_offerable(m.name)),
        None if isinstance(loaded, Exception) else tuple(m for m in loaded if is_offerable(m.name)),
        left_out=() if isinstance(models, Exception) else _left_out(models),
    )


def noted(note: Note | None, seen: Seen, asked: int | None = None, now: float = 0.0) -> Note:
    """A note with what was seen at `now` in the place of what was known; what was not said stays.

    Args:
        note: What was known.
        seen: The look.
        asked: The context that we ask Ollama for.
        now: Seconds of the wall clock.
    """
    changed: dict[str, Any] = dict(note or {})
    if seen.models is not None:
        changed["models"] = [asdict(model) for model in seen.models]
    if seen.loaded is not None:
        changed["loaded"] = {model.name: model.gpu_share for model in seen.loaded}
        contexts = {model.name: model.context_tokens for model in seen.loaded}
        return noted_contexts(changed, contexts, asked, now)
    return changed


def used(note: Note | None, model: str, now: float) -> Note:
    """A note with `model` in use at `now`, in seconds of the wall clock."""
    known = note or {}
    return {**known, "used_at": {**known.get("used_at", {}), model: now}}


def measured(note: Note | None, tokens_per_s: float) -> Note:
    """A note with one more measurement of the speed of one stream, in tokens a second."""
    changed: dict[str, Any] = dict(note or {})
    was = changed.get("tokens_per_s")
    now = tokens_per_s if was is None else was + _SPEED_STEP * (tokens_per_s - was)
    changed["tokens_per_s"] = now
    changed["best_tokens_per_s"] = max(now, changed.get("best_tokens_per_s", 0.0))
    return changed


def facts(note: Note | None, called: Called = tuple) -> Facts:
    """What the rules need of a note."""
    known = note or {}
    models, loaded = known.get("models"), known.get("loaded")
    shares = [share for share in (loaded or {}).values() if share is not None]
    return Facts(
        models=None if models is None else called(listed(note)),
        loaded=None if loaded is None else frozenset(called(loaded)),
        tokens_per_s=known.get("tokens_per_s"),
        on_gpu=min(shares, default=None),
    )


def listed(note: Note | None) -> list[str]:
    """The names of its models, as a server tells them."""
    return [model["name"] for model in (note or {}).get("models") or ()]


def offered(instance: Instance, note: Note | None, called: Called = tuple) -> tuple[OfferedModel, ...]:
    """The models of one instance: the names declared for it, in place of those that it lists."""
    infos: dict[str, ModelInfo] = {}
    for info in (ModelInfo(**model) for model in (note or {}).get("models") or ()):
        for name in called([info.name]):
            infos.setdefault(name, replace(info, name=name))
    loaded = facts(note, called).loaded
    return tuple(
        OfferedModel(
            infos.get(name, ModelInfo(name)),
            None if loaded is None else name in loaded,
            loose_name=instance.loose_names,
        )
        for name in sorted(instance.models) or list(infos)
    )


def oddity(note: Note | None, asked: int | None = None) -> str:
    """What is odd about an instance that answers, for an operator to read; empty when nothing is.

    `asked`: the context that it is asked for.
    """
    known = note or {}
    shares = [share for share in (known.get("loaded") or {}).values() if share is not None]
    if shares and min(shares) < 0.99:
        return f"on the CPU: {min(shares):.0%} of the model is on the GPU"
    speed, best = known.get("tokens_per_s"), known.get("best_tokens_per_s")
    if speed and best and speed < _SLOWER * best:
        return f"slow: {speed:.0f} tokens/s, was {best:.0f}"
    return reloaded(note, asked)


def _left_out(models: Iterable[ModelInfo]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(model.name for model in models if not is_offerable(model.name)))


async def _bounded(answer: Awaitable[T], timeout_s: float) -> T | EngineError | TimeoutError:
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except (EngineError, TimeoutError) as exc:
        return exc
