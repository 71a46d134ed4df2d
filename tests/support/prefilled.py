"""A model server without a socket, that does what real ones do with the beginning of an answer.

It says one text, token by token, keeps to `max_tokens`, counts, and dies where it is told to.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal, get_args

from backend.core.errors import EngineTruncated
from backend.core.types import Usage
from backend.engines.base import (
    End,
    Endpoint,
    GenerationRequest,
    LoadedModel,
    Misplaced,
    ModelInfo,
    Piece,
    Text,
    Thought,
)
from backend.engines.resume import resume
from backend.security.untrusted import neutralise

Behaviour = Literal["continue", "trim_space", "repeat", "restart", "user_turn"]
BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)


def tokens(text: str, size: int) -> list[str]:
    """Words with the blanks before them, none longer than `size` characters; 0: of any length."""
    words = re.findall(r"\s*\S+|\s+$", text)
    return [
        word[at : at + (size or len(word))] for word in words for at in range(0, len(word), size or len(word))
    ]


@dataclass
class Server:
    """An engine that is one server.

    Attributes:
        answer: What it says, asked anew; `instead` what it says in a turn of the user's.
        size: Of its tokens, see `tokens`.
        dies_after: Tokens of each of its replies; None: lives.
        a_piece: Tokens in a piece; below 1, characters of a token in a piece are its share.
        counts: Whether a piece tells how many tokens it is.
        usage: Whether it tells how many there were.
        thoughts: Said before every answer, unless it goes on from something.
    """

    answer: str
    behaviour: Behaviour = "continue"
    size: int = 0
    dies_after: int | None = None
    a_piece: float = 1
    counts: bool = True
    usage: bool = True
    instead: str = "Thanks!"
    thoughts: str = ""
    misplaces: bool = False
    prefills: bool = True
    name: str = "prefilled"
    requests: list[GenerationRequest] = field(default_factory=list)

    def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        if not request.partial:
            return self._ask(request)
        return resume(self._ask, request, prefills=self.prefills)

    async def _ask(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        self.requests.append(request)
        last = request.messages[-1]
        thought, said = self._reply(last.content if last.role == "assistant" else "")
        all_of_it = [*thought, *said]
        bound = request.sampling.max_tokens
        alive = all_of_it[: min(bound, len(all_of_it) if self.dies_after is None else self.dies_after)]
        for piece in self._pieces(alive[: len(thought)], Text if self.misplaces else Thought):
            yield piece
        if self.misplaces and len(alive) > len(thought) > 0:
            yield Misplaced()
        for piece in self._pieces(alive[len(thought) :], Text):
            yield piece
        if self.dies_after is not None and len(alive) == self.dies_after:
            raise EngineTruncated
        reason: Literal["stop", "length"] = "stop" if len(all_of_it) < bound else "length"
        yield End(reason, Usage(20, len(alive)) if self.usage else Usage())

    def _reply(self, stem: str) -> tuple[list[str], list[str]]:
        if not stem:
            return tokens(self.thoughts, self.size), tokens(self.answer, self.size)
        return [], tokens(self._gone_on(stem), self.size)

    def _gone_on(self, stem: str) -> str:
        reached = next((n for n in range(len(self.answer) + 1) if neutralise(self.answer[:n]) == stem), None)
        rest = self.answer if reached is None else self.answer[reached:]
        replies: dict[Behaviour, str] = {
            "continue": rest,
            "trim_space": rest.lstrip(),
            "repeat": stem + rest if reached else rest,
            "restart": self.answer,
            "user_turn": "Thanks!" if _alike(self.instead, rest, self.answer) else self.instead,
        }
        return replies[self.behaviour]

    def _pieces(self, said: list[str], kind: type[Text] | type[Thought]) -> list[Text | Thought]:
        if self.a_piece < 1:
            return [kind(part) for token in said for part in _parts(token, self.a_piece)]
        many = int(self.a_piece)
        joined = (said[at : at + many] for at in range(0, len(said), many))
        return [kind("".join(some), tokens=len(some) if self.counts else 1) for some in joined]

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        return (ModelInfo("m"),)

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        return (LoadedModel("m"),)

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        pass


def _alike(said: str, *texts: str) -> bool:
    """Whether `said` begins as the continuation would, by the chance of a small vocabulary."""
    return any(said.lstrip()[:5] == text.lstrip()[:5] for text in texts)


def _parts(token: str, share: float) -> list[str]:
    size = max(1, int(len(token) * share))
    return [token[at : at + size] for at in range(0, len(token), size)]


@dataclass
class InTurn:
    """An engine whose first generation is by the first of `servers`, its next by the next, and so on."""

    servers: tuple[Server, ...]
    name: str = "in turn"
    begun: int = 0

    def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        server = self.servers[self.begun]
        self.begun += 1
        return server.generate(endpoint, request)

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        return (ModelInfo("m"),)

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        return (LoadedModel("m"),)

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        pass
