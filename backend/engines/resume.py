"""Going on from an answer that broke off, with any engine: ask, check what comes back, or ask anew."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from backend.core.errors import EngineRejected
from backend.engines.base import End, GenerationRequest, Piece
from backend.engines.reply import Reply, Unusable

Ask = Callable[[GenerationRequest], AsyncGenerator[Piece, None]]
"""Sends a request, which has no `partial`; a last message of the assistant is to be gone on from."""

_MOST_AGAIN = 2
"""How often an answer is asked for once more because its bound was too near."""


async def resume(
    ask: Ask, request: GenerationRequest, *, prefills: bool = True
) -> AsyncGenerator[Piece, None]:
    """The pieces of an answer that goes on from `request.partial`, or begins anew: `Resumed` says which.

    The model is asked a second time, for the whole answer, if it refused to go on or if what came back does
    not prove itself a continuation. A whole answer that says `partial` again is a continuation as well.

    What is left of `max_tokens` is an estimate, whose error cuts no answer short: where a reply shows that it
    was given too little, the model is asked once more.

    Args:
        ask: Sends a request to the model server.
        request: Has a `partial`.
        prefills: The server goes on from a last message of the assistant; else it is asked anew at once.

    Raises:
        EngineError: As `ask` does.
    """
    reply: Reply | None = Reply(request, prefills=prefills)
    end: End | None = None
    again = 0
    while reply is not None:
        try:
            async with aclosing(ask(reply.asked())) as pieces:
                async for piece in pieces:
                    for shown in reply.read(piece):
                        yield shown
        except (Unusable, EngineRejected):
            if reply.found is None and reply.stem:
                reply = Reply(reply.request, prefills=False)
                continue
            if end is None or reply.found:
                raise
            break
        end, again = reply.end, again + 1
        reply = reply.further(end) if end and again <= _MOST_AGAIN else None
    if end is not None:
        yield end
