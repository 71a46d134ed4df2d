"""One request as the routes see it, and the way to refuse it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from loadtests.emulator.http import Exchange
from loadtests.emulator.models import Model
from loadtests.emulator.truth import Record
from loadtests.emulator.wire import JSON, go_json

if TYPE_CHECKING:
    from loadtests.emulator.instance import Instance


class Refused(Exception):
    """An answer other than 200, before anything was sent; the text is the server's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class Call:
    """A request, the instance it reached, and its record."""

    instance: Instance
    exchange: Exchange
    record: Record

    def body(self) -> dict[str, Any]:
        """The JSON object sent.

        Raises:
            Refused: 400, nothing or no object was sent.
        """
        raw = self.exchange.request.body
        if not raw.strip():
            raise Refused(400, "missing request body")
        try:
            parsed = orjson.loads(raw)
        except orjson.JSONDecodeError as exc:
            raise Refused(400, _go_syntax_error(raw, exc)) from exc
        if not isinstance(parsed, dict):
            raise Refused(400, f"json: cannot unmarshal {_go_kind(parsed)} into Go value of type api.Request")
        return parsed

    def model(self, name: Any) -> Model:
        """The model of that name, noted in the record.

        Raises:
            Refused: 400 without a name, 404 if there is none.
        """
        if not isinstance(name, str) or not name:
            raise Refused(400, "model is required")
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


def _go_kind(value: Any) -> str:
    kinds = {str: "string", list: "array", bool: "bool", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def _go_syntax_error(raw: bytes, exc: orjson.JSONDecodeError) -> str:
    text = raw.decode("utf-8", "replace")
    at = min(exc.pos, len(text))
    if at >= len(text.rstrip()):
        return "unexpected EOF"
    return f"invalid character {text[at]!r} looking for beginning of value"
