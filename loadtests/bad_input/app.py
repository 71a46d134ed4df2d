"""The application as a user runs it, in a process of its own with a data folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_S = 180.0


@dataclass(frozen=True, slots=True)
class App:
    """A running server."""

    url: str
    port: int
    pid: int
    log: Path


@asynccontextmanager
async def running_app(settings: Mapping[str, str]) -> AsyncIterator[App]:
    """`python -m backend serve` with these settings on a free port; stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="libri-bench-") as name:
        folder = Path(name)
        log = folder / "server.log"
        env = {key: value for key, value in os.environ.items() if not key.startswith(("LIBRI_", "OLLAMA_"))}
        env |= {"LIBRI_DATA__DIR": str(folder / "data"), "LIBRI_SERVER__PORT": "0", **settings}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "backend", "serve", env=env, stdout=output, stderr=output
            )
        try:
            url = await _address(folder / "data" / "server.json", process, log)
            yield App(url, int(url.rsplit(":", 1)[1]), process.pid, log)
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 30)


async def _address(file: Path, process: asyncio.subprocess.Process, log: Path) -> str:
    async with asyncio.timeout(START_S):
        while not file.exists():
            if process.returncode is not None:
                raise RuntimeError(f"the server did not start:\n{log.read_text()[-3000:]}")
            await asyncio.sleep(0.1)
        url = str(json.loads(file.read_text())["url"])
        async with httpx.AsyncClient() as client:
            while (await client.get(f"{url}/health/ready")).status_code != 200:
                await asyncio.sleep(0.2)
    return url
