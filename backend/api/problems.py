"""The application's error handlers: each kind of exception, rendered for the path that it ended."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend.api.render import MAX_LOCATIONS, Location, Refusal, render
from backend.core.errors import LibriError

_CODES = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
    421: "misdirected_request",
    422: "invalid_request",
    431: "headers_too_large",
}
# What the caller wrote stands in these places of a location.
_QUOTING = frozenset({"extra_forbidden", "json_invalid", "invalid_key"})
_PASSED_ON = ("allow", "www-authenticate", "connection")


def locations(errors: Sequence[Any]) -> tuple[Location, ...]:
    """Where and what, of pydantic's errors, without a word of the input."""
    return tuple(_location(error) for error in errors[:MAX_LOCATIONS])


def _location(error: Any) -> Location:
    place = error["loc"][:-1] if error["type"] in _QUOTING else error["loc"]
    where = ".".join(str(part) for part in place)[:80]
    return Location(where, str(error["msg"])[:120], str(error["type"])[:40])


async def _ours(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, LibriError)
    return render(request.scope, exc)


async def _invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    errors = exc.errors()
    if any(error["type"] == "json_invalid" for error in errors):
        return render(request.scope, Refusal(400, "invalid_request", "the body is not JSON"))
    found = locations(errors)
    return render(request.scope, Refusal(422, "invalid_request", "the request does not fit", errors=found))


async def _http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    status = exc.status_code
    headers = {name: text for name, text in (exc.headers or {}).items() if name.lower() in _PASSED_ON}
    code = _CODES.get(status, "invalid_request" if status < 500 else LibriError.code)
    refusal = Refusal(status, code, HTTPStatus(status).description, headers=headers)
    return render(request.scope, refusal)


def install_problems(app: FastAPI) -> None:
    """Render every error. The unexpected ones are `guard.shield`'s."""
    app.add_exception_handler(LibriError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
