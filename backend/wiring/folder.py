"""Who may use the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.config import Settings
from backend.infra.folder_lock import hold, prepare


@contextmanager
def data_folder(settings: Settings) -> Iterator[None]:
    """Keep other processes out of it, unless those share all that lasts; it is made if need be.

    Raises:
        FolderBusy: Another process holds it.
        Misconfigured: It cannot be made or written.
    """
    if settings.is_shared:
        prepare(settings.data.dir)
        yield
    else:
        with hold(settings.data.dir):
            yield
