"""JSON as Go's encoding/json writes it, and the metrics of a final object."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from ollama_emulator.clock import NANO

JSON = "application/json; charset=utf-8"
BARE_JSON = "application/json"
"""Of errors that come through the pipe of a stream, and of `/v1`."""
NDJSON = "application/x-ndjson"
LEAST_S = 0.001
"""The shortest load and prefill that are told: the real server's own work is never free."""
SSE = "text/event-stream"

_ESCAPES = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
_SEPARATORS = (("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))


def go_json(value: Any) -> bytes:
    """Compact JSON with `<`, `>`, `&` and the two line separators escaped, as Go does by default."""
    data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    for plain, escaped in _ESCAPES:
        if plain in data:
            data = data.replace(plain, escaped)
    if b"\xe2\x80" in data:
        for plain, escaped in _SEPARATORS:
            data = data.replace(plain, escaped)
    return data


@lru_cache(maxsize=65_536)
def token_json(text: str) -> bytes:
    """A token's text as JSON: the same few thousand come again and again."""
    return go_json(text)


def error_body(message: str) -> bytes:
    return go_json({"error": message})


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counts and durations of one request; zeros are left out when written (no real duration is one)."""

    total_s: float = 0.0
    load_s: float = 0.0
    prompt_tokens: int = 0
    prompt_s: float = 0.0
    tokens: int = 0
    eval_s: float = 0.0

    def fields(self) -> dict[str, int]:
        """In the server's order, durations in nanoseconds."""
        named = {
            "total_duration": int(self.total_s * NANO),
            "load_duration": int(self.load_s * NANO),
            "prompt_eval_count": self.prompt_tokens,
            "prompt_eval_duration": int(self.prompt_s * NANO),
            "eval_count": self.tokens,
            "eval_duration": int(self.eval_s * NANO),
        }
        return {name: value for name, value in named.items() if value}


@dataclass(slots=True)
class Outcome:
    """All that a request brought; what a whole (not streamed) response is written from.

    Attributes:
        reason: stop, length, load, unload; "" with `done` false when the runner gave up.
        context: Token ids of prompt and answer (`/api/generate` only).
    """

    done: bool = True
    reason: str = "stop"
    content: str = ""
    thinking: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    metrics: Metrics = Metrics()
    context: list[int] | None = None
    tools_sent: bool = False
