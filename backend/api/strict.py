"""JSON bodies read strictly: UTF-8, no NaN, no NUL, no coercion, no unknown fields.

`body: JsonBody[Model]` in a route reads, checks and hands over a `Model`; malformed JSON is 400, a value
that does not fit is 422.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import orjson
from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from backend.core.errors import InvalidRequest
from backend.core.model_names import LONGEST_NAME, is_model_name
from backend.core.text import is_visible


class Body(BaseModel):
    """A request's body: `"3"` and `true` are no numbers, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _visible(text: str) -> str:
    if not is_visible(text):
        raise ValueError("there is nothing to read in it")
    return text


def _model_name(text: str) -> str:
    if not is_model_name(text):
        raise ValueError("no model can be called so")
    return text


Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
"""An id that we gave out."""

CorpusName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\w./:@+-]+$")]

ModelName = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_NAME), AfterValidator(_model_name)
]
"""Any name that may be offered: servers name models by paths, with blanks and brackets."""

QuestionText = Annotated[str, StringConstraints(min_length=1), AfterValidator(_visible)]
"""Something to read, of any length: the use case knows the limit."""

M = TypeVar("M", bound=BaseModel)

if TYPE_CHECKING:
    JsonBody = Annotated[M, "a JSON body"]
else:

    class JsonBody:
        """`JsonBody[Model]`: a parameter that is read from the body."""

        def __class_getitem__(cls, model: type[BaseModel]) -> Any:
            return Annotated[model, Depends(_reader(model))]


def _reader(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    async def read(request: Request) -> M:
        return await read_json(request, model)

    read.model = model  # type: ignore[attr-defined]  # for the API's description
    return read


async def read_json(request: Request, model: type[M]) -> M:
    """The request's body as a `model`.

    Raises:
        InvalidRequest: Not JSON in UTF-8.
        RequestValidationError: JSON that does not fit the model.
    """
    value = parse(await request.body())
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([error | {"loc": ("body", *error["loc"])} for error in found]) from None


def parse(body: bytes) -> Any:
    """The value in `body`.

    Raises:
        InvalidRequest: Not JSON in UTF-8, or nested deeper than 1,024.
        RequestValidationError: JSON with NaN, an infinity, NUL or a lone surrogate.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        if _is_lenient_json(body):
            raise _refused("NaN, infinities and lone surrogates are no JSON values") from None
        raise InvalidRequest("the body is not JSON in UTF-8") from None
    if b"\\u0000" in body and _holds_nul(value):
        raise _refused("the character NUL is not allowed")
    return value


def _is_lenient_json(body: bytes) -> bool:
    """Whether the standard library, which lets more pass, makes sense of it."""
    try:
        json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def _holds_nul(value: Any) -> bool:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text if "\x00" in text:
                return True
            case list() as items:
                waiting.extend(items)
            case dict() as fields:
                waiting.extend(fields.keys())
                waiting.extend(fields.values())
    return False


def _refused(what: str) -> RequestValidationError:
    return RequestValidationError([{"type": "invalid_value", "loc": ("body",), "msg": what}])
