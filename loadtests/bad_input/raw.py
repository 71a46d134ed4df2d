"""Bytes that no HTTP client would send."""

from __future__ import annotations

import asyncio
import time

from loadtests.bad_input.tally import CLOSED, Tally

_HOST = b"Host: localhost\r\n"
_JSON = b"Content-Type: application/json\r\n"
_BODY = b'{"question":"why"}'
_POST = b"POST /api/v1/chat HTTP/1.1\r\n" + _HOST + _JSON
_SMUGGLED = b"GET /api/v1/models HTTP/1.1\r\nHost: evil\r\n\r\n"


def _get(*headers: bytes, target: bytes = b"/api/v1/models", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + target + b" " + version + b"\r\n" + b"\r\n".join((*headers, b"", b""))


RAW: dict[str, bytes] = {
    "Content-Length and Transfer-Encoding": _POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + _SMUGGLED,
    "two different Content-Lengths": _POST + b"Content-Length: 2\r\nContent-Length: 18\r\n\r\n" + _BODY,
    "negative Content-Length": _POST + b"Content-Length: -1\r\n\r\n" + _BODY,
    "Content-Length with a plus": _POST + b"Content-Length: +18\r\n\r\n" + _BODY,
    "Content-Length of words": _POST + b"Content-Length: many\r\n\r\n" + _BODY,
    "Content-Length of 30 digits": _POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n" + _BODY,
    "Content-Length of 1 TB": _POST + b"Content-Length: 1000000000000\r\n\r\n" + _BODY,
    "unknown Transfer-Encoding": _POST + b"Transfer-Encoding: xchunked\r\n\r\n" + _BODY,
    "Transfer-Encoding twice": _POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunk size of words": _POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "negative chunk": _POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n",
    "huge chunk size": _POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n",
    "long chunk extension": _POST
    + b"Transfer-Encoding: chunked\r\n\r\n1;"
    + b"a" * 70_000
    + b"\r\n{\r\n0\r\n\r\n",
    "70 KB header": _get(_HOST[:-2], b"X-Large: " + b"a" * 70_000),
    "70 KB header name": _get(_HOST[:-2], b"a" * 70_000 + b": x"),
    "2,000 headers": _get(_HOST[:-2], *(b"X-%d: a" % n for n in range(2000))),
    "1 MB of address": _get(_HOST[:-2], target=b"/" + b"a" * 1_000_000),
    "NUL in a header": _get(_HOST[:-2], b"X-Odd: a\x00b"),
    "NUL in the address": _get(_HOST[:-2], target=b"/a\x00b"),
    "raw bytes in the address": _get(_HOST[:-2], target=b"/\xff\xfe"),
    "space before the colon": _get(_HOST[:-2], b"X-Odd : a"),
    "folded header": _get(_HOST[:-2], b"X-Request-ID: a\r\n b"),
    "line break in the request id": _get(_HOST[:-2], b"X-Request-ID: a\nSet-Cookie: x=1"),
    "lone CR in a header": _get(_HOST[:-2], b"X-Odd: a\rb"),
    "no Host": _get(b"X-Odd: a"),
    "two Hosts": _get(_HOST[:-2], b"Host: evil.example.org"),
    "absolute address of another host": _get(_HOST[:-2], target=b"http://evil.example.org/api/v1/models"),
    "address without a slash": _get(_HOST[:-2], target=b"api/v1/models"),
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n",
    "CONNECT": b"CONNECT evil.example.org:443 HTTP/1.1\r\n" + _HOST + b"\r\n",
    "upgrade to a WebSocket": _get(
        _HOST[:-2],
        *(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/9.9": _get(_HOST[:-2], version=b"HTTP/9.9"),
    "no version": b"GET /api/v1/models\r\n" + _HOST + b"\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "10 KB method": b"A" * 10_000 + b" / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS greeting": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "zeros": bytes(4096),
    "text": b"hello\r\n\r\n",
    "line feeds only": b"GET /health HTTP/1.1\nHost: localhost\n\n",
    "100,000 line breaks": b"\r\n" * 100_000,
    "half a request line": b"GET /api/v1/mod",
    "half the headers": b"GET /api/v1/models HTTP/1.1\r\nHost: loc",
    "half a body": _POST + b"Content-Length: 18\r\n\r\n" + _BODY[:7],
    "half a chunk": _POST + b"Transfer-Encoding: chunked\r\n\r\n12\r\n" + _BODY[:7],
    "a body too many": _POST + b"Content-Length: 18\r\n\r\n" + _BODY + b"garbage\r\n\r\n",
}


async def try_raw(port: int, tally: Tally, *, body_timeout_s: float) -> None:
    """Send everything of `RAW`; each gets an answer, or is closed, or waits for the rest without harm."""

    async def one(name: str, content: bytes) -> None:
        said = await _exchange(port, content, wait_s=body_timeout_s + 2.0)
        tally.add("raw", name, _status(said), _body(said))
        if b"set-cookie: x=1" in said.lower() or said.count(b"HTTP/1.1 2") > 1:
            tally.surprise(f"raw: {name}: two answers or a forged header")

    await asyncio.gather(*(one(name, content) for name, content in RAW.items()))


async def slow_bodies(port: int, tally: Tally, *, connections: int, body_timeout_s: float) -> float:
    """Many bodies at a byte now and then; returns the longest time (s) until one was given up."""

    async def drip() -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.perf_counter()
        writer.write(_POST + b"Content-Length: 1000\r\n\r\n")
        answer = asyncio.ensure_future(reader.read(4096))
        while not answer.done() and time.perf_counter() - began < body_timeout_s * 10:
            writer.write(b" ")
            await asyncio.wait({answer}, timeout=body_timeout_s / 4)
        said = answer.result() if answer.done() and answer.exception() is None else b""
        answer.cancel()
        writer.close()
        tally.add("slow", "a byte now and then", _status(said), _body(said), refuse=True)
        return time.perf_counter() - began

    return max(await asyncio.gather(*(drip() for _ in range(connections))))


async def _exchange(port: int, content: bytes, *, wait_s: float) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = bytearray()
    try:
        writer.write(content)
        async with asyncio.timeout(wait_s):
            await writer.drain()
            # The server keeps good connections open: what came within a moment is the answer.
            while part := await reader.read(65536):
                said += part
                wait_for_more = asyncio.timeout(0.15)
                async with wait_for_more:
                    said += await reader.read(65536)
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return bytes(said)


def _status(said: bytes) -> int:
    return int(said[9:12]) if said.startswith(b"HTTP/1.") and said[9:12].isdigit() else CLOSED


def _body(said: bytes) -> bytes:
    return said.partition(b"\r\n\r\n")[2]
