"""Bodies of the native API. Unknown fields are refused; nothing is coerced."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from backend.api.strict import Body, Id, Name, QuestionText
from backend.chat.base import Question
from backend.core.types import Language


class Options(Body):
    """How to answer; what is absent is the server's choice."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    thinking: bool = False


class ChatRequest(Body):
    """A question."""

    question: QuestionText
    conversation_id: Id | None = None
    corpora: Annotated[list[Name], Field(min_length=1, max_length=16)] | None = None
    model: Name | None = None
    language: Language | None = None
    options: Options = Field(default_factory=Options)

    def asked(self) -> Question:
        """As the use case takes it."""
        return Question(
            text=self.question.strip(),
            conversation=self.conversation_id,
            corpora=tuple(self.corpora) if self.corpora else None,
            model=self.model,
            language=self.language,
            temperature=self.options.temperature,
            max_tokens=self.options.max_tokens,
            thinking=self.options.thinking,
        )


class Feedback(Body):
    """What a reader thinks of an answer."""

    rating: Literal["up", "down"]
    reason: Annotated[str, Field(max_length=2000)] = ""


class SignIn(Body):
    """A key, to be exchanged for a cookie."""

    key: Annotated[str, Field(min_length=1, max_length=512)]


class MarkdownText(Body):
    """Text to render."""

    text: Annotated[str, Field(max_length=65_536)]
