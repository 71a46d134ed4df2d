"""Logs: one JSON object a line, with the run and request they belong to, never with prompt text or secrets.

An exception is logged by its type and its frames. Its message is kept only where it cannot quote a reader:
our own errors, and those of the operating system.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from backend.core.errors import LibriError

_run: ContextVar[str] = ContextVar("run", default="")
_request: ContextVar[str] = ContextVar("request", default="")

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_SECRETS = re.compile(
    r"(?i)\bbearer\s+[^\s\"',}]+|\blibri_[0-9a-f]{16}_[0-9a-f]+|\blibri_session=[^\s;\"',}]+"
    r"|\b(?:authorization|api[_-]?key)[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic)\s+)?[^\s\"',}]+"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
)
_SECRET_NAMES = frozenset({"authorization", "cookie", "set-cookie", "api_key", "key", "secret", "password"})
_MASK = "***"
_LONGEST = 4000
_CHAIN = 5
_QUIET = (
    "aiosqlite",
    "alembic",
    "asyncio",
    "chromadb",
    "httpcore",
    "httpx",
    "multipart",
    "python_multipart",
    "urllib3",
)


@contextmanager
def run_context(run: str) -> Iterator[None]:
    """Everything logged within belongs to this run."""
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)


@contextmanager
def request_context(request: str) -> Iterator[None]:
    """Everything logged within belongs to this HTTP request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


class Redactor:
    """Replaces what must not be logged.

    Args:
        secrets: Values known from the settings; those shorter than 6 characters are too common to look for.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """`text` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return _SECRETS.sub(_MASK, text)

    def value(self, value: Any) -> Any:
        """`value` as JSON can hold it, without secrets, strings cut at 4,000 characters."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {
                self.text(str(name)): _MASK if str(name).lower() in _SECRET_NAMES else self.value(item)
                for name, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item) for item in value]
        return self.text(str(value))[:_LONGEST]


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON (ASCII, so no character can break the line)."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in (("run", _run.get()), ("request", _request.get())) if value}
        entry |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[1] is not None:
            entry["error"] = list(_described(record.exc_info[1]))
        return json.dumps(self._redactor.value(entry))


def _described(exc: BaseException) -> Iterator[dict[str, Any]]:
    """The exception and what caused it, outermost first."""
    current: BaseException | None = exc
    for _ in range(_CHAIN):
        if current is None:
            return
        frames = traceback.extract_tb(current.__traceback__)
        described: dict[str, Any] = {"type": type(current).__qualname__}
        if isinstance(current, LibriError):
            described["message"] = current.message
        elif isinstance(current, OSError) and current.strerror:
            described["message"] = current.strerror
        described["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-12:]]
        if isinstance(current, BaseExceptionGroup):
            described["members"] = [next(_described(member)) for member in current.exceptions[:_CHAIN]]
        yield described
        current = current.__cause__ or current.__context__


def configure(level: str, *, secrets: Sequence[str] = (), stream: TextIO | None = None) -> None:
    """Send every log of this process to `stream` (default: standard error), as JSON.

    Start uvicorn with `log_config=None`, or it installs handlers of its own.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(Redactor(secrets)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    for name in (*_QUIET, "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
