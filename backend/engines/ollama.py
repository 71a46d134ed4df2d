"""Ollama, by its native `/api/chat`: its OpenAI face loses errors in mid-stream and cannot set the context.

Source: docs/adr/0009.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

import aiohttp
import orjson

from backend.core.errors import EngineTruncated
from backend.engines.base import Endpoint, GenerationRequest, LoadedModel, ModelInfo, Piece
from backend.engines.call import Caller, all_read, read
from backend.engines.lines import LineParser
from backend.engines.listing import of_ps, of_tags
from backend.engines.ollama_messages import CannotThink, MessageReader, refused
from backend.engines.patience import Patience
from backend.engines.resume import resume

_UNTOLD_TOKENS = 2048
_LOOK_S = 10.0
"""`/api/ps` may stand still behind a lock of Ollama's scheduler."""


class OllamaEngine:
    """Speaks `/api/chat`, always streamed.

    Ollama loads a model anew when two requests ask for different runners, so nothing is said that would:
    `num_ctx` only where the operator set it, and then in every request; `shift` never. A prompt that does not
    fit is refused (`truncate: false`) instead of being cut in silence. An answer that outgrows the context
    pushes its prompt out in silence: whoever asks keeps prompt and `max_tokens` within it.

    Args:
        session: Has no time limit of its own, as `infra.http.open_session` makes it.
        context_tokens: `num_ctx`; None: what the server has.
        keep_alive: How long a model stays loaded, as Ollama takes it ("30m", seconds, -1 for good).
        keeps_loaded: That is long enough to find it loaded; else every question loads it anew.
    """

    name = "ollama"

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        context_tokens: int | None = None,
        keep_alive: int | str = "30m",
        keeps_loaded: bool = True,
    ) -> None:
        self._caller = Caller(session, refused)
        self._context_tokens = context_tokens
        self._keep_alive = keep_alive
        self._keeps_loaded = keeps_loaded

    def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Pieces as they come; those that came in one read are joined."""
        ask = partial(self._ask, endpoint)
        return resume(ask, request) if request.partial else ask(request)

    async def _ask(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        try:
            async with aclosing(self._generate(endpoint, request)) as pieces:
                async for piece in pieces:
                    yield piece
        except CannotThink:
            plain = replace(request, sampling=replace(request.sampling, thinking=False))
            async with aclosing(self._generate(endpoint, plain)) as pieces:
                async for piece in pieces:
                    yield piece

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """What `/api/tags` lists, embedding models left out.

        Not by the `ollama` package: it drops what each can do, and `show` would be a call for each.
        """
        return of_tags(await self._caller.json("GET", endpoint, "/api/tags"))

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """What `/api/ps` lists; all of them where none stays, for a question is what loads one there.

        Servers that do not tell the context are so old that theirs is 2,048.
        """
        if not self._keeps_loaded:
            return tuple(LoadedModel(info.name, info.digest) for info in await self.models(endpoint))
        told = of_ps(await self._caller.json("GET", endpoint, "/api/ps", within_s=_LOOK_S))
        old = self._context_tokens or _UNTOLD_TOKENS
        return tuple(replace(one, context_tokens=one.context_tokens or old) for one in told)

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        """A request without messages loads the model."""
        body = orjson.dumps({"model": model, "messages": [], **self._as_always()})
        await self._caller.json("POST", endpoint, "/api/chat", body=body, within_s=within_s)

    async def _generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        lines, reader = LineParser(), MessageReader()
        patience = Patience(request.bounds.first_token_s)
        body = orjson.dumps(self._body(request))
        heard = 0
        async with self._caller.open("POST", endpoint, "/api/chat", request.bounds, patience, body) as answer:
            while data := await read(answer, patience, begun=heard > 0):
                pieces, error = all_read(map(reader.read, lines.feed(data)))
                if reader.heard > heard:
                    patience.renew(request.bounds.gap_s)
                    heard = reader.heard
                for piece in pieces:
                    yield piece
                if error is not None:
                    raise error
                if reader.end is not None:
                    yield reader.end
                    return
        raise EngineTruncated("the model server's answer was cut off")

    def _body(self, request: GenerationRequest) -> dict[str, Any]:
        sampling, always = request.sampling, self._as_always()
        options = {"num_predict": sampling.max_tokens, "temperature": sampling.temperature}
        return {
            **always,
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "stream": True,
            "think": sampling.thinking,
            "options": {**always["options"], **options},
        }

    def _as_always(self) -> dict[str, Any]:
        """What every request says, a load too: Ollama would load the model anew for one that differs."""
        return {
            "truncate": False,
            "keep_alive": self._keep_alive,
            "options": {"num_ctx": self._context_tokens} if self._context_tokens else {},
        }
