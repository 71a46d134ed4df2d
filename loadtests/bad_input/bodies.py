"""Bodies, headers and addresses for every JSON endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from loadtests.bad_input.tally import CLOSED, Tally

JSON_TYPE = {"content-type": "application/json"}

ENDPOINTS: dict[str, dict[str, Any]] = {
    "/api/v1/chat": {"question": "What is lent?", "options": {"max_tokens": 16}},
    "/api/v1/chat/stream": {"question": "What is lent?", "language": "en"},
    "/api/v1/session": {"key": "no-such-key"},
    "/api/v1/markdown": {"text": "**bold**"},
    "/api/v1/runs/no-such-run/feedback": {"rating": "up", "reason": "good"},
    "/api/v1/admin/pool/instances": {"id": "x", "url": "http://127.0.0.1:9", "engine": "openai", "slots": 1},
}
"""Every endpoint that reads JSON, with a body that it takes."""

EXTRA_FIELDS = {
    "conversation_id": "no-such-conversation",
    "corpora": ["default"],
    "model": "echo",
    "language": "en",
    "options": {"temperature": 0.5, "max_tokens": 8, "thinking": False},
}

WRONG_VALUES: tuple[Any, ...] = (
    *(
        None,
        "",
        " ",
        "\n\t",
        "\x00",
        "a\x00b",
        "\u200b",
        "\u2028",
        "3",
        "true",
        "null",
        "../..",
        "a" * 70_000,
    ),
    *(0, -1, 1.5, 10**18, -(10**18), 1e308, True, False, [], [[]], [None], [1], ["\x00"], {}, {"a": {}}),
    *(
        {"$ne": None},
        {"__proto__": 1},
        "'; DROP TABLE history_turns; --",
        "${jndi:ldap://x}",
        "\u202eabc",
        "é" * 300,
    ),
)
# Values that a field of free text rightly takes.
FREE_TEXT = {"question", "text", "reason", "key", "id"}

RAW_BODIES: dict[str, bytes] = {
    "empty": b"",
    "spaces": b"  \n",
    "null": b"null",
    "array": b"[]",
    "number": b"-1",
    "fraction": b"1.5",
    "string": b'"question"',
    "not JSON": b"question=why",
    "half": b'{"question": "wh',
    "two values": b"{}{}",
    "single quotes": b"{'question': 'why'}",
    "trailing comma": b'{"question":"why",}',
    "comment": b'{"question":"why"/* */}',
    "lone surrogate": rb'{"question":"\ud800"}',
    "reversed surrogates": rb'{"question":"\udc00\ud800"}',
    "surrogate as a name": rb'{"\ud800":"why"}',
    "NaN": b'{"question":NaN}',
    "Infinity": b'{"question":"why","options":{"temperature":Infinity}}',
    "1e999": b'{"question":"why","options":{"temperature":1e999}}',
    "5,000 digits": b'{"question":"why","options":{"max_tokens":' + b"9" * 5000 + b"}}",
    "NUL": rb'{"question":"a\u0000b"}',
    "raw NUL": b'{"question":"a\x00b"}',
    "raw line break": b'{"question":"a\nb"}',
    "invalid UTF-8": b'{"question":"\xff\xfe"}',
    "overlong UTF-8": b'{"question":"\xc0\xaf"}',
    "surrogate in UTF-8": b'{"question":"\xed\xa0\x80"}',
    "Latin-1": '{"question":"été"}'.encode("latin-1"),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + b'{"question":"why"}',
    "UTF-16": '{"question":"why"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"question":"why"}'.encode("utf-16-le"),
    "UTF-32": '{"question":"why"}'.encode("utf-32"),
    "100,000 deep": b"[" * 100_000,
    "100,000 deep, closed": b"[" * 100_000 + b"]" * 100_000,
    "objects 50,000 deep": b'{"question":' * 20_000,
    "5,000,000 brackets": b"[" * 5_000_000,
    "1,000 deep": b'{"question":"why","x":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "10 MB": b'{"question":"' + b"a" * 10_000_000 + b'"}',
    "100,000 items": b'{"question":"why","corpora":[' + b'"a",' * 100_000 + b'"a"]}',
    "50,000 unknown fields": b"{" + b",".join(b'"f%d":1' % n for n in range(20_000)) + b"}",
    "a very long field name": json.dumps({"question": "why", "n" * 200_000: 1}).encode(),
    "unknown field": b'{"question":"why","role":"system"}',
    "same field twice": b'{"question":"why","question":null}',
    "__proto__": b'{"question":"why","__proto__":{"a":1}}',
}
"""None of them is a body that any endpoint takes."""

CONTENT_TYPES = (
    *(
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/xml",
    ),
    *(
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/json, text/plain",
        "a" * 3000,
        "/",
        ";",
    ),
)


@dataclass(frozen=True, slots=True)
class Input:
    """One request; `refuse` if it must not be accepted."""

    group: str
    name: str
    method: str
    path: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    refuse: bool = True


def json_inputs() -> Iterator[Input]:
    """Every endpoint with every malformed body, every wrong value, every wrong type of content."""
    for path, good in ENDPOINTS.items():
        for name, body in RAW_BODIES.items():
            yield Input("bodies", f"{path} {name}", "POST", path, body, JSON_TYPE)
        for name, body in _wrong_values(path, good):
            free = name.split("=")[0] in FREE_TEXT | set(EXTRA_FIELDS) or name.startswith("options.")
            yield Input("values", f"{path} {name}", "POST", path, body, JSON_TYPE, refuse=not free)
        for content_type in CONTENT_TYPES:
            body = json.dumps(good).encode()
            yield Input(
                "types", f"{path} {content_type[:40]}", "POST", path, body, {"content-type": content_type}
            )
        yield Input(
            "types", f"{path} gzip", "POST", path, b"\x1f\x8b", JSON_TYPE | {"content-encoding": "gzip"}
        )


def _wrong_values(path: str, good: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    template = good | EXTRA_FIELDS if path.startswith("/api/v1/chat") else good
    for field_name, right in template.items():
        for wrong in WRONG_VALUES:
            yield f"{field_name}={wrong!r:.40}", json.dumps(good | {field_name: wrong}).encode()
        for inner in right if isinstance(right, dict) else ():
            for wrong in WRONG_VALUES:
                value = {field_name: {inner: wrong}}
                yield f"{field_name}.{inner}={wrong!r:.40}", json.dumps(good | value).encode()
        if field_name in good and path.startswith("/api/v1/chat"):
            yield (
                f"{field_name}=absent",
                json.dumps({k: v for k, v in good.items() if k != field_name}).encode(),
            )


ODD_IDS = (
    *(
        "%00",
        "%ff",
        "%ed%a0%80",
        "..",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "a" * 300,
        "%0d%0aSet-Cookie:x=1",
        "'--",
    ),
    *("%e2%80%ae", "*", "%25s", "{}", "0", "-1", "null", "%F0%9F%98%80"),
)
ODD_QUERIES = (
    *("limit=abc", "limit=-1", "limit=0", "limit=1e3", "limit=" + "9" * 400, "limit=1&limit=x", "before=NaN"),
    *(
        "before=inf",
        "before=abc",
        "before=-1e308",
        "after=%00",
        "after=" + "a" * 600,
        "corpus=%00",
        "corpus=../x",
    ),
    *(
        "corpus=",
        "corpus=" + "a" * 100,
        "corpus=%ff",
        "corpus=other",
        "revision=%00",
        "limit=%ff",
        "x" * 7000,
    ),
)


def address_inputs() -> Iterator[Input]:
    """Ids, queries, methods and headers that mean nothing, while `json_inputs` have added no instance."""
    with_id = {
        "/api/v1/conversations/{}": ("GET", "DELETE"),
        "/api/v1/documents/{}": ("GET", "DELETE"),
        "/api/v1/documents/{}/text": ("GET",),
        "/api/v1/ingestions/{}": ("GET",),
        "/api/v1/runs/{}": ("DELETE",),
        "/api/v1/runs/{}/events": ("GET",),
        "/api/v1/admin/pool/instances/{}": ("DELETE",),
        "/api/v1/admin/pool/instances/{}/drain": ("POST",),
        "/api/v1/admin/pool/instances/{}/resume": ("POST",),
        "/assets/{}": ("GET",),
    }
    for path, methods in with_id.items():
        for odd in ODD_IDS:
            for method in methods:
                yield Input(
                    "ids", f"{method} {path} {odd[:40]}", method, path.format(odd), refuse=odd != ".."
                )
    for path in ("/api/v1/documents", "/api/v1/conversations", "/api/v1/documents/x/text"):
        for query in ODD_QUERIES:
            yield Input("queries", f"{path} {query[:40]}", "GET", f"{path}?{query}", refuse=False)
    for path in (
        *ENDPOINTS,
        "/api/v1/documents",
        "/health",
        "/metrics",
        "/",
        "/config",
        "/api/v1/admin/pool",
    ):
        for method in ("PUT", "PATCH", "TRACE", "PROPFIND", "OPTIONS"):
            yield Input("methods", f"{method} {path}", method, path)
    yield from _header_inputs()


def _header_inputs() -> Iterator[Input]:
    for headers in _odd_headers():
        (name, value), *_ = headers.items()
        for path in ("/api/v1/models", "/api/v1/runs/no-such-run/events", "/api/v1/session"):
            harmless = name in ("x-request-id", "cookie", "last-event-id", "accept", "range")
            yield Input(
                "headers", f"{path} {name}: {value[:30]}", "GET", path, b"", headers, refuse=not harmless
            )
    for key in ("", "a" * 200, "é", "a b", "\x7f"):
        body = json.dumps(ENDPOINTS["/api/v1/chat"]).encode()
        headers = JSON_TYPE | {"idempotency-key": key}
        yield Input("headers", f"idempotency-key {key!r:.20}", "POST", "/api/v1/chat", body, headers)


def _odd_headers() -> Iterator[dict[str, str]]:
    for value in (
        "Bearer",
        "Basic YTpi",
        "Bearer libri_x_y",
        "Bearer " + "a" * 9000,
        "Bearer é",
        "x",
    ):
        yield {"authorization": value}
    for value in (
        "libri_session=",
        "libri_session=a.b.c",
        "libri_session=" + "x" * 4000,
        ";;;=",
        "libri_session=é",
    ):
        yield {"cookie": value}
    for value in ("evil.example.org", "", "127.0.0.1@evil.org", "a" * 300, "localhost:x"):
        yield {"host": value}
    for value in ("https://evil.example.org", "null", "http://[", "file://", "\x7f"):
        yield {"origin": value}
    for value in ("x", "1-", "-1", "1-2-3", "9" * 400 + "-0", "0-0", "٣-٣", "\x7f"):
        yield {"last-event-id": value}
    for value in ("a b", "x" * 100, "é", "\x7f"):
        yield {"x-request-id": value}
    yield {"x-large": "a" * 70_000}
    yield {"accept": "text/" + "x" * 2000}
    yield {"range": "bytes=0-0,0-0,0-0,-1"}


async def send(client: httpx.AsyncClient, wanted: Input, tally: Tally) -> None:
    """Try one input."""
    headers = [(name.encode("ascii"), value.encode("utf-8")) for name, value in wanted.headers.items()]
    try:
        answer = await client.request(wanted.method, wanted.path, content=wanted.content, headers=headers)
    except httpx.RemoteProtocolError:
        tally.add(wanted.group, wanted.name, CLOSED)
        return
    except httpx.TransportError as exc:
        tally.add(wanted.group, wanted.name, CLOSED)
        if not isinstance(exc, httpx.WriteError | httpx.ReadError):
            tally.surprise(f"{wanted.group}: {wanted.name}: {type(exc).__name__}")
        return
    tally.add(wanted.group, wanted.name, answer.status_code, answer.content, refuse=wanted.refuse)
    if answer.content == b"Invalid HTTP request received.":  # said by the server before us
        return
    given = answer.headers.get("x-request-id", "")
    if not given or not given.isascii() or len(given) > 64:
        tally.surprise(f"{wanted.group}: {wanted.name}: request id {given[:40]!r}")
