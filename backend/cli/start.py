"""`libriassist serve`: in one process, or in several workers under one that watches them."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module

from backend.cli.listen import listen
from backend.config import Settings, variable
from backend.core.errors import Misconfigured
from backend.wiring.folder import data_folder


def run(settings: Settings, options: Namespace) -> int:
    """The one action.

    Raises:
        FolderBusy: Another process uses the data folder.
        Misconfigured: A setting stands in the way, or these settings are not for several processes.
    """
    if options.workers is not None:
        settings = _with_workers(settings, options.workers)
    if settings.server.workers:
        return int(import_module("backend.cli.replica").serve(settings))
    with data_folder(settings):
        pass
    sockets = listen(settings.server)  # what cannot be had is said before three seconds of imports
    return int(import_module("backend.cli.serve").serve(settings, sockets))


def _with_workers(settings: Settings, workers: int) -> Settings:
    if not 0 <= workers <= 256:
        raise Misconfigured(f"--workers (or {variable('server', 'workers')}) is from 0 to 256")
    server = settings.server.model_copy(update={"workers": workers})
    return settings.model_copy(update={"server": server})
