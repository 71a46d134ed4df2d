"""A real llama.cpp server in a process of its own, for one GGUF file."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.child import Child, Command, answers, placed, running, where_we_are_found

_START_S = 180.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A running server."""

    url: str
    child: Child

    def get(self, path: str) -> Any:
        """A GET, as JSON."""
        with _OPENER.open(self.url + path, timeout=5) as answer:
            return json.load(answer)

    def busy(self) -> int:
        """Slots that are generating now."""
        return sum(slot["is_processing"] for slot in self.get("/slots"))

    def seconds_until_idle(self, limit_s: float = 10.0) -> float:
        """How long from now until none is.

        Raises:
            TimeoutError
        """
        began = time.monotonic()
        while self.busy():
            if time.monotonic() - began > limit_s:
                raise TimeoutError("a slot is still taken")
            time.sleep(0.01)
        return time.monotonic() - began

    def stop(self) -> None:
        self.child.stop()


@contextmanager
def llama_server(
    model: Path, *, slots: int = 4, slot_tokens: int = 30_000, embeds: bool = False
) -> Iterator[LlamaServer]:
    """Serve `model` on a free port until the block is left; `embeds`: its vectors, not its words.

    Raises:
        StartError
    """
    kind = "embeds" if embeds else "speaks"
    command: Command = [sys.executable, "-m", "devstack.llamacpp", model, str(slots), str(slot_tokens), kind]
    found = where_we_are_found()
    with (
        placed(None, "llama") as folder,
        running("llama", command, folder=folder, environment=found) as child,
    ):
        url = child.until(lambda: _address(child), _START_S)
        yield LlamaServer(url, child)


def _address(child: Child) -> str | None:
    """What it says when it serves, below whatever its libraries say."""
    said = child.said()
    return (
        next((line for line in said.splitlines() if line.startswith("http://")), None)
        if said[-1:] == "\n"
        else None
    )


def _serve(model: str, slots: int, slot_tokens: int, kind: str) -> None:
    import xllamacpp  # noqa: PLC0415  only the child process loads it

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx = slots, slots * slot_tokens
    # As many compute threads as cores stall the whole server as soon as anything else runs.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = 32
    params.n_gpu_layers = 0
    params.fit_params = False
    params.cache_ram_mib = 16
    params.endpoint_slots = params.endpoint_metrics = True
    if kind == "embeds":
        params.embedding = True
        params.n_batch = params.n_ubatch = slot_tokens
        # Of a model that reads forwards only, a mean would be of the tokens that are not in its cache yet.
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
    params.ui, params.offline, params.verbosity = False, True, 0
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    server = xllamacpp.Server(params)
    while not _healthy(server.listening_address):
        time.sleep(0.01)
    print(server.listening_address, flush=True)
    stopped.wait()
    os._exit(0)


def _healthy(url: str) -> bool:
    try:
        return bool(answers(f"{url}/health"))
    except OSError:
        return False


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
