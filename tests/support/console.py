"""The console commands as an operator runs them: real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.replica import replica


def environment_in(folder: Path, models_dir: Path, **more: str) -> dict[str, str]:
    """The environment of commands that keep everything in `folder`; they quote unless `more` says else."""
    named = ("LIBRI_", "API_KEY", "OLLAMA_", "LLM_BACKEND")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(named)}
    return (
        kept
        | {
            "LIBRI_DATA__DIR": str(folder),
            "LIBRI_DATA__MODELS_DIR": str(models_dir),
            "LIBRI_SERVER__PORT": "0",
            "LIBRI_SERVER__SHUTDOWN_GRACE_S": "1",
            "LLM_BACKEND": "extractive",
            "COLUMNS": "200",
        }
        | more
    )


def run(
    environment: dict[str, str], *arguments: str, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "backend", *arguments],
        env=environment, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server in a process of its own, and its address; killed at the end if it still runs."""
    with replica(environment, ready=False) as running:
        yield running.child.process, running.url
