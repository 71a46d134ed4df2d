"""Where the server's secret comes from: the settings, else what all its processes share (docs/adr/0019)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from backend.config import Settings
from backend.core.clock import Clock
from backend.core.errors import Misconfigured
from backend.security.secret_file import new_secret, read_if_there, read_or_create
from backend.security.server_secret import ServerSecret
from backend.security.shared_secret import agreed, stored

_FILE = "secret"


async def open_secret(settings: Settings, engine: AsyncEngine, clock: Clock) -> ServerSecret:
    """The secret, the same for all processes with these settings, or else with this database.

    Raises:
        Misconfigured: What holds it is damaged, or can neither be read nor made.
        StorageUnavailable, StorageFull
    """
    if given := settings.auth.secrets:
        return ServerSecret(given[0], given[1:])
    if settings.data.database_url.get_secret_value():
        before = read_if_there(settings.data.dir / _FILE)
        return ServerSecret(await agreed(engine, clock, proposed=before or new_secret()))
    return ServerSecret(_of_folder(settings))


async def former_peppers(settings: Settings, engine: AsyncEngine) -> Sequence[bytes]:
    """Under which releases before docs/adr/0019 may have stored digests of keys.

    Raises:
        StorageUnavailable, StorageFull
    """
    kept = (await stored(engine), read_if_there(settings.data.dir / _FILE))
    return (*settings.auth.secrets, *(one for one in kept if one is not None))


def _of_folder(settings: Settings) -> bytes:
    path = settings.data.dir / _FILE
    try:
        return read_or_create(path)
    except ValueError as exc:
        raise Misconfigured(f"{path}: {exc}") from exc
    except OSError as exc:
        raise Misconfigured(f"{path} can neither be read nor made: {exc.strerror}") from exc
