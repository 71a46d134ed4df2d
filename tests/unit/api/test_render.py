"""One error in the shape of each path."""

import json

import pytest

from backend.api.render import Location, Refusal, render
from backend.core.errors import Forbidden, InvalidRequest, LibriError, PoolFull, Unauthenticated


def body(path: str, error: LibriError | Refusal) -> tuple[dict, dict]:
    response = render({"type": "http", "path": path}, error)
    assert len(response.body) < 1024
    return json.loads(response.body), dict(response.headers)


@pytest.mark.parametrize("path", ["/", "/api/v1/chat", "/v10", "/v1x/y", "/api/v1", "/metrics", ""])
def test_the_native_api_answers_with_a_problem(path):
    said, headers = body(path, PoolFull("the queue is full", retry_after_s=2.4))
    assert headers["content-type"] == "application/problem+json"
    assert (said["status"], said["code"], said["retryable"]) == (503, "pool_full", True)
    assert (said["retry_after_s"], headers["retry-after"]) == (2.4, "3")


@pytest.mark.parametrize("path", ["/v1", "/v1/chat/completions", "/v1/nowhere"])
def test_below_v1_the_shape_is_openais(path):
    said, headers = body(path, PoolFull("the queue is full", retry_after_s=2.4))
    assert said == {
        "error": {"message": "the queue is full", "type": "server_error", "param": None, "code": "pool_full"}
    }
    assert (headers["content-type"], headers["retry-after"]) == ("application/json", "3")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unauthenticated("no"), "authentication_error"),
        (Forbidden("no"), "permission_error"),
        (InvalidRequest("no"), "invalid_request_error"),
        (Refusal(429, "quota_exceeded", "no"), "rate_limit_error"),
        (Refusal(404, "not_found", "no"), "not_found_error"),
        (LibriError(), "server_error"),
    ],
)
def test_openais_types_follow_the_status(error, kind):
    assert body("/v1/models", error)[0]["error"]["type"] == kind


def test_the_first_thing_that_does_not_fit_is_openais_param():
    places = (Location("body.messages.0", "is missing", "missing"), Location("body.x", "too", "y"))
    said, _ = body("/v1/chat/completions", Refusal(422, "invalid_request", "it does not fit", errors=places))
    assert (said["error"]["param"], said["error"]["message"]) == ("messages.0", "it does not fit: is missing")


@pytest.mark.parametrize("path", ["/api/v1/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600", '"', "\x00"])
def test_no_error_is_larger_than_a_kilobyte(path, letter):
    places = tuple(Location(letter * 80, letter * 120, letter * 40) for _ in range(9))
    for error in (
        InvalidRequest(letter * 5000),
        Refusal(422, "invalid_request", letter * 5000, errors=places),
        Refusal(422, "invalid_request", "short", errors=places),
    ):
        said, _ = body(path, error)
        assert said.get("error", said)["code"] == "invalid_request"
