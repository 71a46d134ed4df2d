"""The process that reads untrusted files: it imports a parser once, then forks for every file.

Each file meets a process of its own, with its own limits, that can read no other file and write nothing but
its answer. Started as `python -c` by `sandbox`, never imported by the server.

A request is a line of JSON {media_type, size} and `size` bytes; an answer is eight bytes of length and JSON:
{title, blocks: [[kind, text, level, page, head_lines], …], notes: [[code, count, detail], …],
about: [date, description]} or {error: reason}.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from typing import Any, BinaryIO, NoReturn

from backend.core.errors import UnreadableDocument
from backend.ingest.parse import readers
from backend.ingest.parse.document import Document
from backend.ingest.parse.limits import Limits

_PIPE_BYTES = 1 << 20
_MAX_BLOCKS = 200_000
_DAMAGED = "it is damaged"


def main(requests: BinaryIO, answers: BinaryIO, limits: Limits) -> None:
    """Answer requests until there are no more."""
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["size"])
        readers.module_of(request["media_type"])
        gc.freeze()
        answer = _supervise(request["media_type"], data, limits)
        answers.write(struct.pack(">Q", len(answer)) + answer)
        answers.flush()


def parse(media_type: str, data: bytes, limits: Limits) -> Document:
    """The document in `data`.

    Raises:
        UnreadableDocument
    """
    return readers.read(media_type, data, max_pages=limits.max_pages, max_chars=limits.max_chars)


def _supervise(media_type: str, data: bytes, limits: Limits) -> bytes:
    """Read one file in a forked process; the answer it gave, or the reason why it gave none."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(source)
        _work(sink, media_type, data, limits)
    os.close(sink)
    answer = _gathered(source, pid, limits.max_answer_bytes)
    _, status = os.waitpid(pid, 0)
    if answer is None:
        return _error(f"it has more than {limits.max_chars} characters of text")
    return answer if status == 0 and answer else _error(_reason(status, limits))


def _gathered(source: int, pid: int, limit: int) -> bytes | None:
    """All that the process writes; None, and the process is killed, when that is over `limit`."""
    parts, size = [], 0
    with os.fdopen(source, "rb", buffering=0) as pipe:
        while part := pipe.read(_PIPE_BYTES):
            parts.append(part)
            size += len(part)
            if size > limit:
                os.kill(pid, signal.SIGKILL)
                return None
    return b"".join(parts)


def _reason(status: int, limits: Limits) -> str:
    if not os.WIFSIGNALED(status):
        return _DAMAGED
    if os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU):
        return f"it took longer than {limits.seconds:g} s to read"
    return f"{_DAMAGED}, or needs more than {limits.memory_bytes >> 20} MiB of memory to read"


def _work(sink: int, media_type: str, data: bytes, limits: Limits) -> NoReturn:
    """Read the file under limits, write the answer, end this process."""
    status = 1
    try:
        for descriptor in (0, 1):
            os.close(descriptor)
        _confine(limits)
        answer = _answer(media_type, data, limits)
        with os.fdopen(sink, "wb") as pipe:
            pipe.write(answer)
        status = 0
    finally:
        os._exit(status)


def _confine(limits: Limits) -> None:
    """No more memory, time, files or processes than a parser needs; each signal's default action is death."""
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    cpu = int(limits.seconds) + 1
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 16),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))


def _answer(media_type: str, data: bytes, limits: Limits) -> bytes:
    try:
        document = parse(media_type, data, limits)
    except UnreadableDocument as exc:
        return _error(exc.message)
    except MemoryError:
        return _error(f"it needs more than {limits.memory_bytes >> 20} MiB of memory to read")
    except RecursionError:
        return _error("its elements are nested too deeply")
    except Exception as exc:  # noqa: BLE001  the last line of a process whose input may be hostile
        return _error(f"{_DAMAGED} ({type(exc).__name__})")
    if sum(len(block.text) for block in document.blocks) > limits.max_chars:
        return _error(f"it has more than {limits.max_chars} characters of text")
    if len(document.blocks) > _MAX_BLOCKS:
        return _error(f"it has more than {_MAX_BLOCKS} paragraphs")
    blocks = [[b.kind, b.text, b.level, b.page, b.head_lines] for b in document.blocks]
    return _encoded(
        {
            "title": document.title,
            "blocks": blocks,
            "notes": [[note.code, note.count, note.detail] for note in document.notes],
            "about": [document.about.date, document.about.description],
        }
    )


def _error(reason: str) -> bytes:
    return _encoded({"error": reason})


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")


def start(limits: str) -> None:
    """Serve on the standard streams; `limits` as `Limits.to_json` wrote them."""
    main(sys.stdin.buffer, sys.stdout.buffer, Limits.from_json(limits))
