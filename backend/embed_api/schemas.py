"""Bodies of requests, checked here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from backend.api.problems import locations
from backend.api.strict import Body, parse
from backend.core.errors import InvalidRequest
from backend.embedding.wire import Purpose

MOST_TEXTS: Final = 2048
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


def read_embeddings(body: bytes) -> EmbeddingsBody:
    """The request in `body`.

    Raises:
        InvalidRequest: It is none; names the first field that does not fit, never what is in it.
        RequestValidationError: It holds what no JSON may.
    """
    try:
        return EmbeddingsBody.model_validate(parse(body))
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_context=False, include_input=False)
        first = locations(found)[0]
        what = first.what.removeprefix("Value error, ")
        raise InvalidRequest(f"{first.where}: {what}" if first.where else what) from None
