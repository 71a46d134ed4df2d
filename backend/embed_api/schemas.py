"""Bodies of requests, checked here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, model_validator

from backend.api.problems import locations
from backend.api.strict import Body, parse
from backend.core.errors import InvalidRequest
from backend.embedding.wire import Purpose

MOST_TEXTS: Final = 2048
MOST_DOCUMENTS: Final = 1000
_PURPOSES: Final[dict[str, Purpose]] = {
    "query": "query",
    "search_query": "query",
    "passage": "passage",
    "document": "passage",
    "search_document": "passage",
}
"""As other services and their clients name them."""


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not value:
        raise ValueError("write a text, or a list of texts that is not empty")
    if isinstance(value[0], int | list):
        raise ValueError("tokens are not taken, for they are another model's: send the text")
    if len(value) > MOST_TEXTS:
        raise ValueError(f"more than {MOST_TEXTS} texts at once: send fewer")
    return tuple(value)


def _purpose(value: Any) -> Any:
    if not isinstance(value, str) or value not in _PURPOSES:
        raise ValueError(f"write one of {', '.join(_PURPOSES)}, or leave it out")
    return _PURPOSES[value]


class EmbeddingsBody(Body):
    """What `POST /v1/embeddings` takes: OpenAI's fields, and what the texts are for.

    Attributes:
        texts: Embedded as they are, unless `purpose` is told: then with the model's prefix for it.
        user: Taken and not used.
    """

    texts: Annotated[tuple[str, ...], BeforeValidator(_texts)] = Field(validation_alias=AliasChoices("input"))
    model: str = Field(max_length=300)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None
    purpose: Annotated[Purpose, BeforeValidator(_purpose)] | None = Field(
        None, validation_alias=AliasChoices("input_type")
    )


def _documents(value: Any) -> Any:
    """Texts, or objects with one, as Cohere's clients send them."""
    if not isinstance(value, list) or not value:
        raise ValueError("write a list of texts that is not empty")
    if len(value) > MOST_DOCUMENTS:
        raise ValueError(f"more than {MOST_DOCUMENTS} texts at once: send fewer")
    return tuple(one["text"] if isinstance(one, dict) and one.keys() == {"text"} else one for one in value)


Documents = Annotated[tuple[str, ...], BeforeValidator(_documents)]


class RerankBody(Body):
    """What `POST /v1/rerank` takes, as Cohere, Jina and vLLM do (`documents`), or as TEI does (`texts`).

    Attributes:
        top_n: Most results; None or 0: all.
        raw_scores: Logits instead of numbers between 0 and 1.
        truncate: A pair that is too long is cut, whatever is said here.
    """

    query: str
    documents: Documents | None = None
    texts: Documents | None = None
    model: str | None = Field(None, max_length=300)
    top_n: Annotated[int, Field(ge=0)] | None = None
    return_documents: bool = False
    return_text: bool = False
    raw_scores: bool = False
    truncate: bool = True

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.documents is None) == (self.texts is None):
            raise ValueError("write either documents or texts")
        return self


B = TypeVar("B", bound=Body)


def read(body: bytes, kind: type[B]) -> B:
    """The request in `body`.

    Raises:
        InvalidRequest: It is none; names the first field that does not fit, never what is in it.
        RequestValidationError: It holds what no JSON may.
    """
    try:
        return kind.model_validate(parse(body))
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_context=False, include_input=False)
        first = locations(found)[0]
        what = first.what.removeprefix("Value error, ")
        raise InvalidRequest(f"{first.where}: {what}" if first.where else what) from None
