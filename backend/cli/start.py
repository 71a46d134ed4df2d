"""`libriassist serve`: in one process, or in several workers under one that watches them."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module

from backend.config import Settings, variable
from backend.core.errors import Misconfigured


def run(settings: Settings, options: Namespace) -> int:
    """The one action.

    Raises:
        Misconfigured: These settings are not for several processes.
    """
    if options.workers is not None:
        settings = _with_workers(settings, options.workers)
    if not settings.server.workers:
        return int(import_module("backend.cli.serve").serve(settings))
    return int(import_module("backend.cli.replica").serve(settings))


def _with_workers(settings: Settings, workers: int) -> Settings:
    if not 0 <= workers <= 256:
        raise Misconfigured(f"--workers (or {variable('server', 'workers')}) is from 0 to 256")
    server = settings.server.model_copy(update={"workers": workers})
    return settings.model_copy(update={"server": server})
