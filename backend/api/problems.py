"""Errors as `application/problem+json` (RFC 9457): under 1 KB, never the input back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend.api.errors import status_of
from backend.core.errors import LibriError, Unauthenticated

MEDIA_TYPE = "application/problem+json"
LARGEST_BYTES = 1000
MAX_LOCATIONS = 5
DEFAULT_RETRY_AFTER_S = 5

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


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retryable: bool = False,
    retry_after_s: float | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem as a response; locations are dropped until it is small enough."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail[:300],
        "retryable": retryable,
    }
    headers = dict(headers or {})
    if retry_after_s is None and status in (429, 503):
        retry_after_s = DEFAULT_RETRY_AFTER_S
    if retry_after_s is not None:
        body["retry_after_s"] = round(retry_after_s, 1)
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    kept = list(errors[:MAX_LOCATIONS])
    while kept and len(json.dumps(body | {"errors": kept})) > LARGEST_BYTES:
        kept.pop()
    return Response(
        json.dumps(body | ({"errors": kept} if kept else {})), status, headers, media_type=MEDIA_TYPE
    )


def problem_of(exc: LibriError) -> Response:
    """An error of ours."""
    return problem(
        status_of(exc),
        exc.code,
        exc.message,
        retryable=exc.retryable,
        retry_after_s=exc.retry_after_s,
        headers={"www-authenticate": "Bearer"} if isinstance(exc, Unauthenticated) else None,
    )


def internal_problem() -> Response:
    """A defect of ours; the log says more, under the request's id."""
    return problem(500, LibriError.code, "something went wrong on our side; the request id names it")


def locations(errors: Sequence[Any]) -> list[dict[str, str]]:
    """Where and what, of pydantic's errors, without a word of the input."""
    found = []
    for error in errors[:MAX_LOCATIONS]:
        place = error["loc"][:-1] if error["type"] in _QUOTING else error["loc"]
        where = ".".join(str(part) for part in place)[:80]
        found.append({"where": where, "what": str(error["msg"])[:120], "code": str(error["type"])[:40]})
    return found


async def _ours(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, LibriError)
    return problem_of(exc)


async def _invalid(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    errors = exc.errors()
    if any(error["type"] == "json_invalid" for error in errors):
        return problem(400, "invalid_request", "the body is not JSON")
    return problem(422, "invalid_request", "the request does not fit", errors=locations(errors))


async def _http(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    headers = {name: text for name, text in (exc.headers or {}).items() if name.lower() in _PASSED_ON}
    code = _CODES.get(exc.status_code, "invalid_request" if exc.status_code < 500 else LibriError.code)
    return problem(exc.status_code, code, HTTPStatus(exc.status_code).description, headers=headers)


def install_problems(app: FastAPI) -> None:
    """Render every error as a problem. The unexpected ones are `guard.shield`'s."""
    app.add_exception_handler(LibriError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
