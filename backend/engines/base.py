"""The port of an engine: a prompt in, pieces of text out, exactly one `End`; and which models it has."""

from __future__ import annotations

from base64 import b64encode
from bisect import bisect_right
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from backend.core.addresses import credentials, without_credentials
from backend.core.types import FinishReason, Language, Message, Sampling, Scored, Usage


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine listens.

    Attributes:
        url: Base URL without a trailing slash; "" for an engine inside this process.
        api_key: Sent as a bearer token where the server wants one.
    """

    url: str = field(repr=False)
    api_key: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """`url` without what would let one in; safe to show."""
        return without_credentials(self.url)

    @property
    def authorization(self) -> str:
        """Value of the header that lets one in; "" where nothing is asked. Never both: see `wiring`."""
        if self.api_key:
            return f"Bearer {self.api_key}"
        if pair := credentials(self.url):
            return f"Basic {b64encode(':'.join(pair).encode()).decode()}"
        return ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long an engine may stay silent, in seconds.

    Attributes:
        connect_s: Until the TCP connection stands.
        first_token_s: From the request to the first piece; covers load and prefill.
        gap_s: Between two pieces.
    """

    connect_s: float = 2.0
    first_token_s: float = 120.0
    gap_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Spent:
    """At least how many tokens a partial answer took.

    Attributes:
        thinking: On reasoning, before the answer.
        marks: (characters, tokens), both ascending: so much of the text was said with so many.
        a_character: Tokens that a character takes, in the mean of any text.
    """

    thinking: int = 0
    marks: tuple[tuple[int, int], ...] = ()
    a_character: float = 1 / 8

    def on(self, characters: int) -> int:
        """Tokens of the first `characters` of the text, without the reasoning."""
        at = bisect_right(self.marks, characters, key=lambda mark: mark[0])
        return max(self.marks[at - 1][1] if at else 0, int(characters * self.a_character))


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One production of text.

    Attributes:
        messages: The whole prompt; retrieved text in it is already fenced and neutralised.
        question: The standalone question, and `passages` what was retrieved for it: engines that
            quote instead of generating work from these two.
        sampling: Its `max_tokens` bounds the whole answer, `partial` included.
        partial: Text of the answer that the reader has already seen; non-empty: go on from it. Never holds
            thinking.
        spent: What of `max_tokens` `partial` has used.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    question: str
    passages: tuple[Scored, ...]
    language: Language
    bounds: Bounds = field(default_factory=Bounds)
    partial: str = ""
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True)
class Resumed:
    """Whether the text that follows goes on from `partial`.

    Sent before any other piece, and only when the request has a `partial`; sent again where the model had to
    be asked once more in mid-answer: `partial` is then all `Text` so far.

    Attributes:
        continued: The text that follows goes on seamlessly: nothing repeated, no blank lost. Else it is a
            whole new answer, and `partial` is void.
        spent: Tokens of the answer, reasoning included, that were generated elsewhere: the coming `End` does
            not count them.
    """

    continued: bool
    spent: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer, as it came.

    Attributes:
        tokens: How many tokens it is at least.
    """

    text: str
    tokens: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of the model's reasoning; `tokens` as in `Text`."""

    text: str
    tokens: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Misplaced:
    """All `Text` so far, `partial` too, was reasoning: a mark closed it that nothing had opened."""


@dataclass(frozen=True, slots=True)
class End:
    """The engine's own word that the generation is whole."""

    finish_reason: FinishReason
    usage: Usage = field(default_factory=Usage)


Told = Text | Thought | Misplaced
"""What a reply says, apart from how it begins and ends."""

Piece = Told | Resumed | End


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that a server offers; None and "" are what the server does not say.

    Attributes:
        name: As it is asked for.
        thinks: Whether it can think aloud.
        parameters: How many it has, as people say it ("8.0B").
        quantisation: As its makers call it ("Q4_K_M").
        size_bytes: Of its file.
        context_tokens: The longest context it was made for, or the server allows it.
        digest: Another digest is another model, whatever its name.
    """

    name: str
    thinks: bool | None = None
    parameters: str = ""
    quantisation: str = ""
    size_bytes: int | None = None
    context_tokens: int | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in a server's memory; None and "" are what the server does not say.

    Attributes:
        size_bytes: Of all the memory that it takes; `vram_bytes`: of that, on the GPU.
        context_tokens: The context it was loaded with.
        expires_at: When it will be put out if nobody asks, in seconds since the epoch, by the server's clock.
    """

    name: str
    digest: str = ""
    size_bytes: int | None = None
    vram_bytes: int | None = None
    context_tokens: int | None = None
    expires_at: float | None = None

    @property
    def gpu_share(self) -> float | None:
        """Share of it on the GPU, in [0, 1]. Less than 1 is slow; a server may claim 1 and be on the CPU."""
        if not self.size_bytes or self.vram_bytes is None:
            return None
        return min(1.0, self.vram_bytes / self.size_bytes)


class Lists(Protocol):
    """Which models a server has."""

    async def models(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """The models that can be asked to chat, in the server's order.

        Raises:
            EngineError: As for `Engine.generate`.
        """

    async def loaded(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """The models that answer without being loaded first; a server that never unloads has all of them.

        Raises:
            EngineError: As for `Engine.generate`.
        """


class Engine(Lists, Protocol):
    """One way of speaking to model servers. Holds no state per server."""

    @property
    def name(self) -> str:
        """The kind of server it speaks to."""

    def generate(self, endpoint: Endpoint, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Pieces in order, the last one an `End`; closing the iterator frees the server's slot within 1 s.

        With `request.partial`, a `Resumed` comes before any other piece.

        Raises:
            EngineUnreachable: Refused, reset before the first byte, or 5xx.
            EngineTimeout: Silent beyond `request.bounds`.
            EngineTruncated: The stream ended without its final object.
            EngineRefused: The server refuses whatever is asked: 401, 402, 403, a redirect, a wrong path.
            EngineRejected: The request itself is refused; `ContextOverflow` when the prompt does not fit.
        """

    async def load(self, endpoint: Endpoint, model: str, *, within_s: float) -> None:
        """Have the server load `model`, and wait until it has; at once where it never unloads.

        Raises:
            EngineError: As for `generate`; `EngineTimeout` after `within_s`.
        """
