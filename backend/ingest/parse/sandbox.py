"""One child process that reads files, as the server sees it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import backend
from backend.core.errors import UnreadableDocument
from backend.ingest.base import MediaType
from backend.ingest.parse.limits import Limits

_ROOT = str(Path(backend.__file__).parents[1])
_BOOT = """
import sys
sys.path.append(sys.argv[1])
from backend.ingest.parse.child import start
start(sys.argv[2])
"""
_GRACE_S = 5.0


class Sandbox:
    """A process of `child`; for one caller at a time. Use `start`.

    It inherits neither environment nor files of the server. Its death is an error of the file that it was
    reading, nothing more.
    """

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self._spent = False

    @classmethod
    async def start(cls, limits: Limits) -> Sandbox:
        """A new process."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-c",
            _BOOT,
            _ROOT,
            limits.to_json(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        return cls(process, limits)

    @property
    def alive(self) -> bool:
        """Whether it can be asked (again)."""
        return not self._spent and self._process.returncode is None

    async def ask(self, media_type: MediaType, data: bytes) -> dict[str, Any]:
        """Title and blocks of the file, as JSON.

        Raises:
            UnreadableDocument: With the child's reason, or because the child died or hung.
        """
        try:
            async with asyncio.timeout(self._limits.seconds + _GRACE_S):
                raw = await self._exchange(media_type, data)
                answer: dict[str, Any] = await asyncio.to_thread(json.loads, raw)
        except TimeoutError as exc:
            await self.close()
            raise UnreadableDocument(f"it took longer than {self._limits.seconds:g} s to read") from exc
        except (OSError, EOFError, ValueError) as exc:
            await self.close()
            raise UnreadableDocument("reading it was interrupted; try again") from exc
        except BaseException:
            self.kill()
            raise
        if reason := answer.get("error"):
            raise UnreadableDocument(str(reason))
        return answer

    async def _exchange(self, media_type: MediaType, data: bytes) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise EOFError
        stdin.write(json.dumps({"media_type": media_type, "size": len(data)}).encode() + b"\n")
        stdin.write(data)
        await stdin.drain()
        (size,) = struct.unpack(">Q", await stdout.readexactly(8))
        if size > self._limits.max_answer_bytes + 1024:
            raise ValueError("the answer is over its bound")
        return await stdout.readexactly(size)

    def kill(self) -> None:
        """End the process and what it started, now."""
        self._spent = True
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """End the process and wait until it is gone."""
        self.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
