"""A real llama.cpp server in a child process, for one GGUF file."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class LlamaServer:
    url: str
    process: subprocess.Popen

    def get(self, path: str):
        with _OPENER.open(self.url + path, timeout=5) as answer:
            return json.load(answer)

    def busy(self) -> int:
        """Slots that are generating now."""
        return sum(slot["is_processing"] for slot in self.get("/slots"))

    def seconds_until_idle(self, limit_s: float = 10.0) -> float:
        began = time.monotonic()
        while self.busy():
            assert time.monotonic() - began < limit_s, "a slot is still taken"
            time.sleep(0.01)
        return time.monotonic() - began

    def stop(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def llama_server(model: Path, *, slots: int = 4, slot_tokens: int = 30_000) -> Iterator[LlamaServer]:
    """Serve `model` on a free port until the block is left."""
    command = [sys.executable, __file__, str(model), str(slots), str(slot_tokens)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    url = process.stdout.readline().strip()
    server = LlamaServer(url, process)
    try:
        assert url.startswith("http://"), "the server did not start"
        yield server
    finally:
        server.stop()


def _serve(model: str, slots: int, slot_tokens: int) -> None:
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
    params.ui, params.offline, params.verbosity = False, True, 0
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    server = xllamacpp.Server(params)
    while not _healthy(server.listening_address):
        time.sleep(0.01)
    sys.stdout.write(server.listening_address + "\n")
    sys.stdout.flush()
    stopped.wait()
    os._exit(0)


def _healthy(url: str) -> bool:
    try:
        with _OPENER.open(url + "/health", timeout=5):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
