import asyncio
import io
import json
import logging

import pytest

from backend.core.errors import StorageUnavailable
from backend.telemetry.logs import JsonFormatter, Redactor, configure, request_context, run_context

KEY = "libri_0123456789abcdef_" + "ab" * 32


@pytest.fixture
def written():
    """A logger, and what it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(Redactor(["sesame-open"])))
    log = logging.Logger("test", logging.DEBUG)
    log.addHandler(handler)
    return log, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_of_json(written):
    log, lines = written
    log.warning("first\nsecond\u2028third %s", "é", extra={"count": 3})
    (entry,) = lines()
    assert entry["message"] == "first\nsecond\u2028third é"
    assert (entry["level"], entry["logger"], entry["count"]) == ("warning", "test", 3)
    assert entry["time"].endswith("+00:00")


def test_a_record_names_its_run_and_request(written):
    log, lines = written
    with request_context("req1"), run_context("run1"):
        log.info("in")
    log.info("out")
    inside, outside = lines()
    assert (inside["run"], inside["request"]) == ("run1", "req1")
    assert "run" not in outside


async def test_runs_side_by_side_keep_their_names(written):
    log, lines = written

    async def run(name: str) -> None:
        with run_context(name):
            await asyncio.sleep(0)
            log.info(name)

    await asyncio.gather(run("a"), run("b"))
    assert all(entry["run"] == entry["message"] for entry in lines())


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-123",
        "authorization='Basic abcdef'",
        f"a key {KEY} in text",
        "cookie libri_session=WyJicm93c2VyIl0.sig; x",
        "API_KEY=hunter22",
        '{"api_key": "hunter22"}',
        "the value sesame-open itself",
        "postgresql+asyncpg://libri:hunter22@db/libri",
    ],
)
def test_secrets_do_not_reach_the_log(written, text):
    log, lines = written
    log.error("%s", text, extra={"detail": {"nested": [text], "Cookie": "hunter22"}})
    (entry,) = lines()
    shown = json.dumps(entry)
    assert "***" in shown
    for secret in ("abc.def-123", "abcdef'", KEY, "WyJicm93c2VyIl0", "hunter22", "sesame-open"):
        assert secret not in shown


def test_an_exception_is_told_without_what_it_quotes(written):
    log, lines = written
    try:
        try:
            {}["the reader's question"]
        except KeyError as exc:
            raise StorageUnavailable("the database does not answer") from exc
    except StorageUnavailable:
        log.exception("failed")
    (entry,) = lines()
    ours, cause = entry["error"]
    assert (ours["type"], ours["message"]) == ("StorageUnavailable", "the database does not answer")
    assert cause["type"] == "KeyError"
    assert any("test_logs.py" in frame for frame in cause["frames"])
    assert "reader's question" not in json.dumps(entry)


def test_a_group_names_its_members(written):
    log, lines = written
    try:
        raise ExceptionGroup("many", [ValueError("quoted"), StorageUnavailable()])
    except ExceptionGroup:
        log.exception("failed")
    members = lines()[0]["error"][0]["members"]
    assert [member["type"] for member in members] == ["ValueError", "StorageUnavailable"]


def test_odd_values_are_still_written(written):
    log, lines = written
    log.info("odd", extra={"path": object, "text": "\ud800\x00", "items": {1, 2}, "long": "x" * 10_000})
    (entry,) = lines()
    assert len(entry["long"]) == 4000


def test_configuring_sends_every_logger_to_one_stream():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        configure("INFO", secrets=["sesame-open"], stream=stream)
        logging.getLogger("uvicorn.error").info("started with sesame-open")
        logging.getLogger("uvicorn.access").info("GET /")
        logging.getLogger("backend").debug("too quiet")
    finally:
        root.handlers[:], root.level = before
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["started with ***"]
