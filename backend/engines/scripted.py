"""An engine that says what it was told to say: for tests, demonstrations and load tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from backend.core.types import Usage
from backend.engines.base import (
    End,
    Endpoint,
    GenerationRequest,
    LoadedModel,
    ModelInfo,
    Piece,
    Resumed,
    Text,
    Thought,
)
from backend.engines.resume import resume


@dataclass(frozen=True, slots=True)
class Wait:
    """Say nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Say nothing until `release` is set."""

    release: asyncio.Event


@dataclass(frozen=True, slots=True)
class Echo:
    """Say the last message of the prompt, word by word."""


Step = Text | Thought | Resumed | End | Wait | Hold | Echo | Exception
Script = Sequence[Step]
Choose = Callable[[Endpoint, GenerationRequest], Script]


def recite(text: str, *, delay_s: float = 0.0) -> Script:
    """A script that says `text` word by word, `delay_s` before each, and ends with `stop`."""
    words = _words(text)
    steps: list[Step] = []
    for word in words:
        steps += [Wait(delay_s), Text(word)] if delay_s else [Text(word)]
    return (*steps, End("stop", Usage(completion_tokens=len(words))))


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [word if i == 0 else f" {word}" for i, word in enumerate(words)]


class ScriptedEngine:
    """Plays one script for each generation; the last one again when they are used up.

    An exception in a script is raised at its place. A script without `End` ends like a stream that was cut.
    Asked to go on, it plays its script from the beginning and leaves out what was said; a script with a
    `Resumed` of its own is played as it is.

    Args:
        scripts: What to say, in order of the calls.
        choose: Takes the place of `scripts`: the script for one request.
        models: What `models` answers with, or just the names; an exception is raised instead.

    Attributes:
        requests: Every request seen, with its endpoint, in order.
        open: Generations begun and not yet ended.
        most_open: Largest value `open` ever had.
        finished: Generations that came to the end of their script.
        cancelled: Generations closed or cancelled before it.
    """

    def __init__(
        self,
        *scripts: Script,
        choose: Choose | None = None,
        models: tuple[str | ModelInfo, ...] | Exception = ("scripted",),
        name: str = "scripted",
    ) -> None:
        self.name = name
        self.requests: list[tuple[Endpoint, GenerationRequest]] = []
        self.open = 0
        self.most_open = 0
        self.finished = 0
        self.cancelled = 0
        self._scripts = scripts or (recite("Hello [1]."),)
        self._choose = choose
        self._models = models

    def _script(self, endpoint: Endpoint, request: GenerationRequest) -> Script:
        self.requests.append((endpoint, request))
        if self._choose is not None:
            return self._choose(endpoint, request)
        return self._scripts[min(len(self.requests), len(self._scripts)) - 1]

    async def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """The pieces of the script whose turn it is."""
        script = self._script(endpoint, request)
        if request.partial and not any(isinstance(step, Resumed) for step in script):
            pieces = resume(partial(self._play, script), request, prefills=False)
        else:
            pieces = self._play(script, request)
        async with aclosing(pieces) as played:
            async for piece in played:
                yield piece

    async def _play(self, script: Script, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        whole = False
        try:
            for step in script:
                if isinstance(step, Exception):
                    whole = True
                    raise step
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, Hold):
                    await step.release.wait()
                elif isinstance(step, Echo):
                    for word in _words(request.messages[-1].content if request.messages else ""):
                        yield Text(word)
                else:
                    whole = isinstance(step, End)
                    yield step
            whole = True
        finally:
            self.open -= 1
            self.finished += whole
            self.cancelled += not whole

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """Those given at construction."""
        if isinstance(self._models, Exception):
            raise self._models
        return tuple(ModelInfo(model) if isinstance(model, str) else model for model in self._models)

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """The same."""
        models = await self.models(endpoint)
        return tuple(LoadedModel(model.name, context_tokens=model.context_tokens) for model in models)

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        """Nothing to do."""
