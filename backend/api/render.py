"""Errors as responses, in the shape that callers of a path expect; under 1 KB, never the input back.

/v1, /v1/…   OpenAI's: {"error": {message, type, param, code}}
elsewhere    application/problem+json (RFC 9457) with `code`, `retryable` and, of a form, `errors`
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from backend.api.errors import status_of
from backend.core.errors import LibriError, Unauthenticated

PROBLEM_TYPE = "application/problem+json"
LARGEST_BYTES = 1000
MAX_LOCATIONS = 5
DEFAULT_RETRY_AFTER_S = 5

_CUT_CHARS = 20
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


@dataclass(frozen=True, slots=True)
class Location:
    """A part of a request that does not fit."""

    where: str
    what: str
    code: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served, as HTTP says it.

    Attributes:
        code: Stable, for programs; `detail` is for people, and holds nothing of the input.
        retry_after_s: None: a default for 429 and 503, else not said.
    """

    status: int
    code: str
    detail: str
    retryable: bool = False
    retry_after_s: float | None = None
    errors: tuple[Location, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, exc: LibriError) -> Refusal:
        """What an error of ours is in HTTP."""
        headers = {"www-authenticate": "Bearer"} if isinstance(exc, Unauthenticated) else {}
        wait_s = exc.retry_after_s
        return cls(status_of(exc), exc.code, exc.message, exc.retryable, wait_s, headers=headers)

    @property
    def wait_s(self) -> float | None:
        """When to come back, if that is known or may be guessed."""
        if self.retry_after_s is None and self.status in (429, 503):
            return DEFAULT_RETRY_AFTER_S
        return self.retry_after_s


INTERNAL = Refusal(500, LibriError.code, "something went wrong on our side; the request id names it")
"""A defect of ours; the log says more, under the request's id."""


def render(scope: Scope, error: LibriError | Refusal) -> Response:
    """The response to a request that is not served."""
    refusal = error if isinstance(error, Refusal) else Refusal.of(error)
    is_openai = f"{scope['path']}/".startswith("/v1/")
    headers = dict(refusal.headers)
    if refusal.wait_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(refusal.wait_s)))
    return Response(
        _small_body(refusal, is_openai=is_openai),
        refusal.status,
        headers,
        media_type="application/json" if is_openai else PROBLEM_TYPE,
    )


def _small_body(refusal: Refusal, *, is_openai: bool) -> str:
    """With as many locations, and then as much of the detail, as there is room for."""
    shape = _openai if is_openai else _problem
    refusal = replace(refusal, errors=refusal.errors[:MAX_LOCATIONS])
    while len(body := json.dumps(shape(refusal))) > LARGEST_BYTES and refusal.detail:
        if refusal.errors:
            refusal = replace(refusal, errors=refusal.errors[:-1])
        else:
            refusal = replace(refusal, detail=refusal.detail[:-_CUT_CHARS])
    return body


def _problem(refusal: Refusal) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "retryable": refusal.retryable,
    }
    if refusal.wait_s is not None:
        body["retry_after_s"] = round(refusal.wait_s, 1)
    if refusal.errors:
        body["errors"] = [{"where": one.where, "what": one.what, "code": one.code} for one in refusal.errors]
    return body


def _openai(refusal: Refusal) -> dict[str, Any]:
    status, first = refusal.status, next(iter(refusal.errors), None)
    usual = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": f"{refusal.detail}: {first.what}" if first else refusal.detail,
            "type": _OPENAI_TYPES.get(status, usual),
            "param": first.where.removeprefix("body.") if first else None,
            "code": refusal.code,
        }
    }
