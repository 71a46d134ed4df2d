"""JSON as model servers send it: what is wrong with one character costs one character."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from backend.core.errors import EngineError

_SURROGATES = re.compile("[\ud800-\udfff]")


def an_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`.

    Bytes that are not UTF-8, and surrogates without their other half, come as U+FFFD: a token may end inside
    a character, and some servers send its halves apart.

    Raises:
        EngineError: It is no JSON, or no object.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = _mended(data)
    if not isinstance(value, dict):
        raise EngineError("the model server sent what cannot be read")
    return value


def _mended(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8", "replace"), object_hook=_without_surrogates)
    except (ValueError, RecursionError) as exc:
        raise EngineError("the model server sent what is no JSON") from exc


def _without_surrogates(value: dict[str, Any]) -> dict[str, Any]:
    return {
        _SURROGATES.sub("\ufffd", name): _SURROGATES.sub("\ufffd", text) if isinstance(text, str) else text
        for name, text in value.items()
    }
