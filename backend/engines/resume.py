"""Going on from an answer that broke off, with any engine: ask, check what comes back, or ask anew."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from backend.core.errors import EngineRejected
from backend.core.types import Message
from backend.engines.base import End, GenerationRequest, Misplaced, Piece, Resumed, Text, Thought
from backend.engines.seam import Joined, Joint, Unclear, seam
from backend.security.untrusted import neutralise

Ask = Callable[[GenerationRequest], AsyncGenerator[Piece, None]]
"""Sends a request, which has no `partial`; a last message of the assistant is to be gone on from."""


class _Unusable(Exception):
    """The reply is no continuation for certain, and not for certain a whole answer."""


async def resume(
    ask: Ask, request: GenerationRequest, *, prefills: bool = True
) -> AsyncGenerator[Piece, None]:
    """The pieces of an answer that goes on from `request.partial`, or begins anew: `Resumed` says which.

    The model is asked a second time, for the whole answer, only if it refused to go on or if what came back
    cannot be told from a beginning. A whole answer that says `partial` again is a continuation as well.

    Args:
        ask: Sends a request to the model server.
        request: Has a `partial`.
        prefills: The server goes on from a last message of the assistant; else it is asked anew at once.

    Raises:
        EngineError: As `ask` does.
    """
    stem = seam(request.partial)[0] if prefills else ""
    whole = replace(request, partial="")
    if stem:
        resumed = False
        rest = _checked(ask(_prefilled(whole, stem)), Joint(request.partial, stem))
        try:
            async with aclosing(rest) as pieces:
                async for piece in pieces:
                    resumed = True
                    yield piece
            return
        except (_Unusable, EngineRejected):
            if resumed:
                raise
    async with aclosing(_checked(ask(whole), Joint(request.partial))) as pieces:
        async for piece in pieces:
            yield piece


def _prefilled(request: GenerationRequest, stem: str) -> GenerationRequest:
    """`request` with the beginning of its answer. Whoever has begun to answer has done thinking.

    llama.cpp would go on inside the reasoning, older ones and others refuse.
    """
    begun = Message("assistant", neutralise(stem))
    sampling = replace(request.sampling, thinking=False)
    return replace(request, messages=(*request.messages, begun), sampling=sampling)


async def _checked(pieces: AsyncGenerator[Piece, None], joint: Joint) -> AsyncGenerator[Piece, None]:
    """`pieces`, the first of them held back until `joint` knows what they are.

    Raises:
        _Unusable: Nothing was given.
    """
    found: Joined | None = None
    misplaced = False
    async with aclosing(pieces) as stream:
        async for piece in stream:
            if found is not None:
                yield Text(piece.text) if misplaced and isinstance(piece, Thought) else piece
                continue
            verdict = _read(joint, piece)
            if verdict is None:
                continue
            if isinstance(verdict, Unclear):
                raise _Unusable
            found = verdict
            yield Resumed(found.continued)
            if found.text:
                yield Text(found.text)
            misplaced = isinstance(piece, Thought) and found.continued
            if not isinstance(piece, Text) and not misplaced:
                yield piece


def _read(joint: Joint, piece: Piece) -> Joined | Unclear | None:
    match piece:
        case Text(text):
            return joint.feed(text)
        case Thought(text):
            return joint.think(text)
        case Misplaced():
            return joint.misplaced()
        case End():
            return joint.end()
        case Resumed():
            raise TypeError("an engine that was not asked to resume cannot have")
