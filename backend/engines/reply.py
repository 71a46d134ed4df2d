"""One reply to a request to go on: what is asked, what of it the reader sees, whether it came to its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from backend.core.types import Message
from backend.engines.base import End, GenerationRequest, Misplaced, Piece, Resumed, Spent, Text, Thought
from backend.engines.seam import Joined, Joint, Unclear, seam
from backend.security.untrusted import neutralise

_NEARLY = 0.95
_ALIKE = 0.6
"""How much fewer tokens a character one part of an answer may take than another."""


class Unusable(Exception):
    """The reply does not prove itself a continuation; nothing of it was shown."""


class Reply:
    """Reads one reply, piece by piece.

    The bound of what is asked for holds the last words, which are said again; of a whole answer it is all
    that was allowed. What the text shown to the model took is estimated from below, by the pieces in which
    it came.

    Args:
        request: Has a `partial`.
        prefills: The model is shown the answer but for its last words; else nothing of it.

    Attributes:
        stem: What the model is shown of the answer.
        found: How the reply joins it; None: it cannot be said yet.
        end: The engine's last word.
    """

    def __init__(self, request: GenerationRequest, *, prefills: bool) -> None:
        self.request = request
        self.stem = _stem(request) if prefills else ""
        self.found: Joined | None = None
        self.end: End | None = None
        self._before = _spent(request, self.stem)
        self._bound = request.sampling.max_tokens - self._before
        self._shown = neutralise(self.stem)
        # A server that says all again would have to begin once more where the bound is less than that.
        may_repeat = self._bound >= 2 * self._before
        self._joint = Joint(request.partial, self.stem, shown=self._shown, may_repeat=may_repeat)
        self._as_text = self._was_reasoning = False
        self._text = request.partial
        self._marks = [(len(self._text), 0)]
        self._pieces = self._characters = 0

    def asked(self) -> GenerationRequest:
        """What is sent. Whoever is shown the beginning of its answer has done thinking.

        llama.cpp would go on inside the reasoning, older ones and others refuse.
        """
        whole = replace(self.request, partial="", spent=Spent())
        if not self.stem:
            return whole
        begun = Message("assistant", self._shown)
        sampling = replace(whole.sampling, thinking=False, max_tokens=self._bound)
        return replace(whole, messages=(*whole.messages, begun), sampling=sampling)

    def read(self, piece: Piece) -> Iterator[Piece]:
        """What the reader sees of `piece`, but for the end; nothing until it is known how the reply joins.

        Raises:
            Unusable: Ask for the whole answer.
        """
        if isinstance(piece, Text | Thought):
            self._pieces += piece.tokens
            self._characters += len(piece.text)
        if isinstance(piece, End):
            self.end = piece
        shown = self._rest(piece) if self.found else self._first(piece)
        for one in shown:
            if isinstance(one, Text):
                self._text += one.text
                self._marks.append((len(self._text), self._pieces))
            self._was_reasoning = self._was_reasoning or isinstance(one, Misplaced)
            yield one

    def further(self, end: End) -> Reply | None:
        """The reply to ask for after this one, if it ended before the whole was as long as it may be."""
        if self.found is None or self._was_reasoning or end.finish_reason != "length":
            return None
        allowed = self._bound if self.stem else self.request.sampling.max_tokens
        counted = end.usage.completion_tokens
        if allowed >= self.request.sampling.max_tokens or (counted is not None and counted < allowed):
            return None  # it was the whole, or the context is full
        if self.found.retold:
            return Reply(replace(self.request, partial=self._text), prefills=False)
        spent = self._corrected()
        if spent.thinking + spent.on(len(self.stem)) >= self._before:
            return None
        return Reply(replace(self.request, partial=self._text, spent=spent), prefills=True)

    def _first(self, piece: Piece) -> list[Piece]:
        verdict = _verdict(self._joint, piece)
        if verdict is None:
            return []
        if isinstance(verdict, Unclear):
            raise Unusable
        self.found = verdict
        goes_on = bool(self.stem) and not verdict.retold
        pieces: list[Piece] = [Resumed(verdict.continued, spent=self._before if goes_on else 0)]
        rest = _share(piece, verdict.text)
        if verdict.text:
            pieces.append(Text(verdict.text, tokens=rest))
        if isinstance(piece, Thought):
            self._as_text = verdict.continued
            if not verdict.continued:
                pieces.append(piece)
        self._marks = [(len(self._text), self._pieces - rest)]
        return pieces

    def _rest(self, piece: Piece) -> list[Piece]:
        """Reasoning that was found to be the answer stays it, unless an answer follows it all the same."""
        if isinstance(piece, End):
            return []
        if self._as_text and isinstance(piece, Thought):
            return [Text(piece.text, tokens=piece.tokens)]
        if self._as_text and isinstance(piece, Text):
            self._as_text = False
            return [Misplaced(), piece]
        return [piece]

    def _corrected(self) -> Spent:
        """What was spent, as this reply shows it, which took just its bound: by its pieces and its length."""
        known, at = self.request.spent, len(self.stem)
        a_piece = self._bound / max(1, self._pieces)
        a_character = min(known.a_character, _ALIKE * self._bound / max(1, self._characters))
        if a_piece > _NEARLY:  # pieces are tokens, or hold some each
            a_character = 0 if known.marks and a_piece < 1 / _NEARLY else a_character
            a_piece = 1.0
        on_stem = max((int(tokens * a_piece) for end, tokens in known.marks if end <= at), default=0)
        marks = ((end, on_stem + int(pieces * a_piece)) for end, pieces in self._marks)
        return Spent(int(known.thinking * a_piece), ((at, on_stem), *marks), a_character)


def _stem(request: GenerationRequest) -> str:
    messages = (message.content for message in request.messages)
    return seam(request.partial, (request.question, *messages))[0]


def _spent(request: GenerationRequest, stem: str) -> int:
    """At least how many tokens were generated up to the end of `stem`."""
    if not stem:
        return 0
    return min(request.spent.thinking + request.spent.on(len(stem)), request.sampling.max_tokens - 1)


def _share(piece: Piece, text: str) -> int:
    """Tokens of `piece` that are surely of `text`, its end."""
    if not isinstance(piece, Text | Thought) or not piece.text:
        return 0
    return piece.tokens * min(len(text), len(piece.text)) // len(piece.text)


def _verdict(joint: Joint, piece: Piece) -> Joined | Unclear | None:
    match piece:
        case Text(text):
            return joint.feed(text)
        case Thought(text):
            return joint.think(text)
        case Misplaced():
            joint.misplaced()
            return None
        case End(reason):
            return joint.end(cut=reason == "length")
        case Resumed():
            raise TypeError("an engine that was not asked to resume cannot have")
