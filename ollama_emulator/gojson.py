"""Bodies as Go's encoding/json reads them: the first value, field names without case, and its own errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

Kind = Literal["string", "bool", "number", "array", "object", "any"]

_SPACE = b" \t\r\n"
_DIGITS = b"0123456789"
_HEX = b"0123456789abcdefABCDEF"
_WORDS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_MAX_DEPTH = 10_000


class GoError(ValueError):
    """A body that Go refuses; the text is Go's."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A Go type.

    Args:
        name: As Go prints it.
        kind: The kind of JSON it takes; null is always taken and changes nothing.
        fields: Of a struct, by name in JSON.
        items: Of a slice or a map.
        whole: An integer: a fraction is refused.
        opaque: It reads its JSON itself, so that an error inside it names the struct around it.
        check: Raises `ValueError` with the type's own sentence.
    """

    name: str
    kind: Kind
    fields: Mapping[str, Shape] = field(default_factory=dict)
    items: Shape | None = None
    whole: bool = False
    opaque: bool = False
    check: Callable[[Any], object] | None = None


def decode(raw: bytes) -> Any:
    """The first JSON value of `raw`; what follows it is not looked at.

    Raises:
        GoError: There is none.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        end = _Scanner(raw).value_end()
    try:
        return _whole_characters(json.loads(raw[:end].decode("utf-8", "replace")))
    except RecursionError:
        raise GoError("exceeded max depth") from None


def checked(value: Any, shape: Shape) -> Any:
    """`value` with its known fields under their own names.

    Raises:
        ValueError: A part of it is not what `shape` has there; the first such part is told, in Go's words.
    """
    return _checked(value, shape, "", ())


def quoted(text: str) -> str:
    """As `%q` prints it."""
    return orjson.dumps(text).decode()


def _checked(value: Any, shape: Shape, struct: str, path: tuple[str, ...]) -> Any:
    if value is not None and shape.check is not None:
        shape.check(value)
    if value is None or shape.kind == "any":
        return value
    kind = _kind(value)
    if kind != shape.kind:
        raise _unmarshal_error(kind, shape, struct, path)
    if shape.whole and isinstance(value, float):
        raise _unmarshal_error(f"number {value}", shape, struct, path)
    if isinstance(value, dict):
        inner = struct if shape.opaque and struct else shape.name.rpartition(".")[2] or struct
        return dict(
            _member(name, member, shape, inner if shape.fields else struct, path)
            for name, member in value.items()
        )
    if isinstance(value, list) and shape.items is not None:
        return [_checked(item, shape.items, struct, path) for item in value]
    return value


def _member(name: str, value: Any, shape: Shape, struct: str, path: tuple[str, ...]) -> tuple[str, Any]:
    if not shape.fields:
        return name, value if shape.items is None else _checked(value, shape.items, struct, path)
    known = name if name in shape.fields else name.lower()
    if known not in shape.fields:
        return name, value
    return known, _checked(value, shape.fields[known], struct, (*path, known))


def _unmarshal_error(kind: str, shape: Shape, struct: str, path: tuple[str, ...]) -> GoError:
    where = f"struct field {struct}.{'.'.join(path)}" if path else "value"
    return GoError(f"json: cannot unmarshal {kind} into Go {where} of type {shape.name}")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _whole_characters(value: Any) -> Any:
    """Half a surrogate pair becomes the replacement character, as in Go."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(name): _whole_characters(item) for name, item in value.items()}
    return value


class _Scanner:
    """Finds the end of the first value, or says why there is none; without recursion: depth is the client's.

    Raises (everywhere):
        GoError: With Go's sentence.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def value_end(self) -> int:
        open_: list[int] = []
        self._begin_value(open_)
        while not self._ended(open_):
            self._begin_value(open_)
        return self._at

    def _begin_value(self, open_: list[int]) -> None:
        """Reads a scalar, or all brackets that open here and the first scalar or key within."""
        while (byte := self._next(skip=True)) in b"[{":
            if len(open_) >= _MAX_DEPTH:
                raise self._error("exceeded max depth")
            self._at += 1
            if self._peek() == (ord("]") if byte == ord("[") else ord("}")):
                self._at += 1
                return
            open_.append(byte)
            if byte == ord("{"):
                self._key()
        self._scalar(byte)

    def _ended(self, open_: list[int]) -> bool:
        """After a value: closes what closes here; False if another value follows."""
        while open_:
            is_array = open_[-1] == ord("[")
            about = "after array element" if is_array else "after object key:value pair"
            byte = self._next(skip=True)
            if byte == ord("]" if is_array else "}"):
                self._at += 1
                open_.pop()
                continue
            if byte != ord(","):
                raise self._error(about)
            self._at += 1
            if not is_array:
                self._key()
            return False
        return True

    def _key(self) -> None:
        if self._next(skip=True) != ord('"'):
            raise self._error("looking for beginning of object key string")
        self._string()
        if self._next(skip=True) != ord(":"):
            raise self._error("after object key")
        self._at += 1

    def _scalar(self, byte: int) -> None:
        if byte == ord('"'):
            self._string()
        elif byte in _WORDS:
            self._word(_WORDS[byte])
        elif byte in b"-0123456789":
            self._number()
        else:
            raise self._error("looking for beginning of value")

    def _string(self) -> None:
        self._at += 1
        while (byte := self._next()) != ord('"'):
            if byte < 0x20:
                raise self._error("in string literal")
            self._at += 1
            if byte == ord("\\"):
                self._escape()
        self._at += 1

    def _escape(self) -> None:
        byte = self._next()
        if byte not in b'bfnrt\\/"u':
            raise self._error("in string escape code")
        self._at += 1
        for _ in range(4 if byte == ord("u") else 0):
            if self._next() not in _HEX:
                raise self._error("in \\u hexadecimal character escape")
            self._at += 1

    def _word(self, word: bytes) -> None:
        for index, byte in enumerate(word):
            about = f"in literal {word.decode()} (expecting {chr(byte)!r})"
            if index and self._next() != byte:
                raise self._error(about)
            self._at += 1

    def _number(self) -> None:
        if self._raw[self._at] == ord("-"):
            self._at += 1
        if self._next() == ord("0"):
            self._at += 1
        else:
            self._digits("in numeric literal")
        if self._here() == ord("."):
            self._at += 1
            self._digits("after decimal point in numeric literal")
        if self._here() in (ord("e"), ord("E")):
            self._at += 1
            if self._here() in (ord("+"), ord("-")):
                self._at += 1
            self._digits("in exponent of numeric literal")

    def _digits(self, about: str) -> None:
        if self._next() not in _DIGITS:
            raise self._error(about)
        while self._here() is not None and self._raw[self._at] in _DIGITS:
            self._at += 1

    def _here(self) -> int | None:
        return self._raw[self._at] if self._at < len(self._raw) else None

    def _peek(self) -> int | None:
        while self._here() is not None and self._raw[self._at] in _SPACE:
            self._at += 1
        return self._here()

    def _next(self, *, skip: bool = False) -> int:
        byte = self._peek() if skip else self._here()
        if byte is None:
            raise GoError("unexpected EOF")
        return byte

    def _error(self, about: str) -> GoError:
        return GoError(f"invalid character {_go_character(self._raw[self._at])} {about}")


def _go_character(byte: int) -> str:
    """One byte as Go prints a rune in quotes."""
    named = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}
    if byte in named:
        return f"'{named[byte]}'"
    if byte == ord("'"):
        return "'\\''"
    if byte == ord("\\"):
        return "'\\\\'"
    if byte < 0x20 or byte == 0x7F:
        return f"'\\x{byte:02x}'"
    if 0x80 <= byte < 0xA1 or byte == 0xAD:
        return f"'\\u{byte:04x}'"
    return f"'{chr(byte)}'"
