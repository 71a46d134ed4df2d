"""Which models servers of the OpenAI protocol have, whatever client asks them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

from backend.core.errors import EngineError
from backend.engines.base import Endpoint, LoadedModel, ModelInfo
from backend.engines.listing import context_of_props, loaded_of_openai, of_openai
from backend.engines.openai_chunks import refused
from backend.engines.refusal import Refusal, Refused

_MODELS = "/v1/models"


class Ask(Protocol):
    """The JSON answer to one short call."""

    async def __call__(
        self, method: str, endpoint: Endpoint, path: str, *, refused: Refused | None = None
    ) -> Any:
        """See `call.Caller.json`."""


@dataclass(frozen=True, slots=True)
class OpenAILists:
    """See `base.Lists`."""

    ask: Ask

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """What `/v1/models` lists."""
        return of_openai(await self.ask("GET", endpoint, _MODELS, refused=_unlisted))

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """The same. Older llama.cpp tells the context of its one model in `/props` alone."""
        body = await self.ask("GET", endpoint, _MODELS, refused=_unlisted)
        told = loaded_of_openai(body)
        if len(told) == 1 and told[0].context_tokens is None and "meta" in body["data"][0]:
            return (replace(told[0], context_tokens=await self._props(endpoint)),)
        return told

    async def _props(self, endpoint: Endpoint) -> int | None:
        try:
            return context_of_props(await self.ask("GET", endpoint, "/props"))
        except EngineError:
            return None


def _unlisted(refusal: Refusal) -> EngineError:
    """A server that lists no models may answer all the same."""
    if refusal.status in (404, 405, 501):
        return EngineError("the model server does not list its models")
    return refused(refusal)
