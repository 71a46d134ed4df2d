"""Bodies of the native API. In those that come, unknown fields are refused and nothing is coerced."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.api.strict import Body, CorpusName, Id, ModelName, QuestionText
from backend.chat.base import Question
from backend.core.languages import PATTERN
from backend.core.types import Language
from backend.pool.base import OfferedModel


class Options(Body):
    """How to answer; what is absent is the server's choice."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    thinking: bool = False


class ChatRequest(Body):
    """A question."""

    question: QuestionText
    conversation_id: Id | None = None
    corpora: Annotated[list[CorpusName], Field(min_length=1, max_length=16)] | None = None
    model: ModelName | None = None
    language: Annotated[Language, Field(pattern=PATTERN)] | None = None
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


class ModelShown(BaseModel):
    """A model that can be asked for; null is what its server does not say.

    Attributes:
        thinks: Whether it can think before it answers.
        parameters: How many it has, as people say it ("8.0B").
        context_tokens: The longest context it was made for.
        loaded: Whether it answers at once somewhere, or has to be loaded first.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    thinks: bool | None
    parameters: str
    quantisation: str
    size_bytes: int | None
    context_tokens: int | None
    loaded: bool | None

    @classmethod
    def of(cls, model: OfferedModel) -> ModelShown:
        """As a reader sees it."""
        info = model.info
        return cls(
            name=info.name,
            thinks=info.thinks,
            parameters=info.parameters,
            quantisation=info.quantisation,
            size_bytes=info.size_bytes,
            context_tokens=info.context_tokens,
            loaded=model.loaded,
        )


class OptionDefaults(BaseModel):
    """What is used where a question names nothing; no answer is longer than `max_tokens`."""

    model_config = ConfigDict(frozen=True)

    temperature: float
    max_tokens: int


class ModelList(BaseModel):
    """What can be asked for now, and what answers by default, which may be away just now."""

    model_config = ConfigDict(frozen=True)

    models: tuple[ModelShown, ...]
    default: str
    options: OptionDefaults


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
