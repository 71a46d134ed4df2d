"""`libriassist keys create|list|revoke`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Column, Table

from backend.config import Settings
from backend.core.types import ANY_CORPUS, Role
from backend.wiring.keys import open_keys


async def run(settings: Settings, options: Namespace) -> int:
    """One action."""
    match options.action:
        case "create":
            roles = [Role(role) for role in options.role or (Role.READER,)]
            return await create(settings, options.name, options.tenant, roles, options.corpus)
        case "revoke":
            return await revoke(settings, options.id)
        case _:
            return await show(settings)


async def create(
    settings: Settings, name: str, tenant: str, roles: Sequence[Role], corpora: Sequence[str]
) -> int:
    """Make a key and show it, this once."""
    async with open_keys(settings) as keys:
        made = await keys.create(
            name=name, tenant=tenant, roles=frozenset(roles), corpora=frozenset(corpora or [ANY_CORPUS])
        )
    Console(stderr=True).print(f"Key {made.key.id} for {made.key.name}. It is shown only now:")
    Console(soft_wrap=True, highlight=False).print(made.secret)
    return 0


async def show(settings: Settings) -> int:
    """List all keys."""
    async with open_keys(settings) as keys:
        found = await keys.keys()
    table = Table(
        Column("id", no_wrap=True, min_width=16), "name", "tenant", "roles", "corpora", "created", "revoked"
    )
    for key in found:
        table.add_row(
            key.id,
            key.name,
            key.tenant,
            " ".join(sorted(key.roles)),
            " ".join(sorted(key.corpora)),
            _day(key.created),
            _day(key.revoked) if key.revoked else "",
        )
    Console().print(table if found else "No keys: only this machine is served, without a credential.")
    return 0


async def revoke(settings: Settings, key_id: str) -> int:
    """Make a key worthless."""
    async with open_keys(settings) as keys:
        await keys.revoke(key_id)
    Console().print(f"Key {key_id} is revoked.")
    return 0


def _day(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M")
