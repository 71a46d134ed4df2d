"""Control of Ollama's models by its native API. Tokens go another way: see `ollama.py`.

On the standard library, for commands: the `ollama` package, and httpx below it, take half a second to import.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import orjson

from backend.core.errors import EngineError, EngineTruncated, EngineUnreachable, ModelMissing
from backend.engines.base import Endpoint, LoadedModel, ModelInfo
from backend.engines.control import ModelDetails, Progress
from backend.engines.lines import LineParser
from backend.engines.listing import of_disk, of_ps
from backend.engines.ollama_answers import PullLine, Tally, details_of
from backend.engines.ollama_messages import refused
from backend.engines.patience import Patience
from backend.engines.plain_call import PlainCaller
from backend.engines.refusal import NOT_FOUND, Refusal

_MISSING = ("file does not exist", "not found")
_LONGEST_NOTE = 300
_DONE = "success"


@dataclass(frozen=True, slots=True)
class ControlBounds:
    """How long the server may take, in seconds.

    Attributes:
        connect_s: Until the TCP connection stands.
        answer_s: For a short call as a whole; `ps` may stand still behind a lock of the scheduler.
        moving_s: While bytes are moved: until there are more of them. Lines alone are no progress: Ollama
            sends one each 60 ms, whether bytes come or not, and starts a part afresh after 30 s without.
        step_s: Any other step. The checksum of 40 GB takes minutes, and nothing is said meanwhile.
    """

    connect_s: float = 2.0
    answer_s: float = 10.0
    moving_s: float = 120.0
    step_s: float = 900.0


class OllamaControl:
    """Ollama's list, ps, show, pull and delete; a connection each."""

    def __init__(self, bounds: ControlBounds | None = None) -> None:
        self._bounds = bounds or ControlBounds()
        self._caller = PlainCaller(_refused, self._bounds.connect_s, self._bounds.answer_s)

    async def list(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """Every model on disk."""
        return of_disk(await self._caller.json("GET", endpoint, "/api/tags"))

    async def ps(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """Models in memory."""
        return of_ps(await self._caller.json("GET", endpoint, "/api/ps"))

    async def show(self, endpoint: Endpoint, name: str) -> ModelDetails:
        """All about one model."""
        body = _body(model=name)
        return details_of(name, await self._caller.json("POST", endpoint, "/api/show", body=body))

    async def delete(self, endpoint: Endpoint, name: str) -> None:
        """Remove a model."""
        await self._caller.whole("DELETE", endpoint, "/api/delete", body=_body(model=name))

    async def pull(self, endpoint: Endpoint, name: str) -> AsyncGenerator[Progress, None]:
        """Fetch a model from its registry."""
        tally, patience = Tally(), Patience(self._bounds.step_s)
        call = self._caller.open("POST", endpoint, "/api/pull", _body(model=name, stream=True))
        try:
            async with AsyncExitStack() as stack:
                pieces = await patience.within(stack.enter_async_context(call))
                async for line in _lines(pieces, patience):
                    if tally.add(line):
                        bounds = self._bounds
                        patience.renew(bounds.moving_s if tally.is_moving else bounds.step_s)
                    yield tally.progress()
                    if tally.step == _DONE:
                        return
        except EngineUnreachable as exc:
            raise (_broken() if tally.step else exc) from exc
        finally:
            patience.end()
        raise EngineTruncated("the model server ended without saying that it worked")


async def _lines(pieces: AsyncIterator[bytes], patience: Patience) -> AsyncIterator[PullLine]:
    parser = LineParser()
    while piece := await patience.within(anext(pieces, b"")):
        for told in map(PullLine.read, parser.feed(piece)):
            if told.error:
                raise _given_up(told.error)
            yield told


def _body(**fields: Any) -> bytes:
    return orjson.dumps(fields)


def _broken() -> EngineError:
    return EngineTruncated("the connection to the model server broke")


def _given_up(said: str) -> EngineError:
    """The error that a stream which had begun well tells of."""
    missing = any(mark in said for mark in _MISSING)
    error = ModelMissing("there is no such model") if missing else EngineError("the model server gave up")
    return _noted(error, said)


def _refused(refusal: Refusal) -> EngineError:
    said = refusal.body.get("error") if isinstance(refusal.body, dict) else None
    if not isinstance(said, str):
        return refused(refusal)
    error = ModelMissing("there is no such model") if refusal.status == NOT_FOUND else refused(refusal)
    return _noted(error, said)


def _noted(error: EngineError, said: str) -> EngineError:
    """With the server's own words, for the operator."""
    error.add_note("".join(char if char.isprintable() else " " for char in said[:_LONGEST_NOTE]).strip())
    return error
