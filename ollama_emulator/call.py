"""One request as the routes see it, and the way to refuse it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ollama_emulator.gojson import Shape, checked, decode
from ollama_emulator.http import Exchange
from ollama_emulator.models import Model, is_valid_name
from ollama_emulator.state import State
from ollama_emulator.truth import Record
from ollama_emulator.wire import JSON, go_json

INVALID_NAME = "invalid model name"


class Refused(Exception):
    """An answer other than 200, before anything was sent; the text is the server's.

    Args:
        late: It comes through the pipe of a stream, whose media type and chunks it then has.
        early: Before the body was read (`/v1` then has the native media type).
    """

    def __init__(self, status: int, message: str, *, late: bool = False, early: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.late = late
        self.early = early


@dataclass(slots=True)
class Call:
    """A request, the instance it reached, and its record."""

    instance: State
    exchange: Exchange
    record: Record

    def body(self, shape: Shape, *, missing: str = "missing request body") -> dict[str, Any]:
        """The JSON object sent, as Go reads it into `shape`; null is an empty one.

        Raises:
            Refused: 400, with `missing` where nothing was sent, else in Go's words.
        """
        raw = self.exchange.request.body
        if not raw.strip(b" \t\r\n"):
            raise Refused(400, missing, early=True)
        try:
            return checked(decode(raw), shape) or {}
        except ValueError as exc:
            raise Refused(400, str(exc), early=True) from exc

    def model(self, name: str | None, nameless: tuple[int, str] = (400, "model is required")) -> Model:
        """The model of that name, noted in the record.

        Raises:
            Refused: `nameless` without a name, 400 with one that no model can have, 404 if there is none.
        """
        if not name:
            raise Refused(*nameless)
        if not is_valid_name(name):
            raise Refused(400, INVALID_NAME)
        found = self.instance.table.find(name)
        if found is None:
            raise Refused(404, f"model '{name}' not found")
        self.record.model = found.name
        return found

    def json(self, value: Any, status: int = 200) -> None:
        """Answer with an object."""
        self.whole(go_json(value), JSON, status)

    def whole(self, body: bytes, media: str, status: int = 200) -> None:
        """Answer with all of it at once."""
        self.record.status = status
        self.exchange.whole(status, media, body)
