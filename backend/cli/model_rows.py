"""What one model server has, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from backend.core.errors import LibriError

if TYPE_CHECKING:  # `pool status` needs none of them
    from backend.engines.base import LoadedModel, ModelInfo

_FOR_GOOD_S = 10 * 365 * 86400.0
"""Ollama's "never unload" is 292 years."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one server has, or why it does not say."""

    address: str
    models: Sequence[ModelInfo] = ()
    loaded: Sequence[LoadedModel] = ()
    reason: str = ""


def plain(text: str) -> str:
    """What a server said, without what would steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def reason_of(error: LibriError) -> str:
    """Why something failed, with what an operator has to know and the server's own words, if any."""
    known = getattr(error, "reason", ""), *getattr(error, "__notes__", ())
    return ": ".join([error.message, *filter(None, known)])


def table_of(held: Held, now: float) -> Table:
    """A row a model; `now` in seconds since the epoch. No name is ever cut: it is what one types."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model", overflow="fold", min_width=max(len(info.name) for info in held.models))
    for column in ("size", "quantised", "context", "loaded", "on GPU", "digest"):
        table.add_column(column)
    in_memory = {model.name: model for model in held.loaded}
    for info in held.models:
        loaded = in_memory.get(info.name)
        size = decimal(info.size_bytes) if info.size_bytes else ""
        cells = (info.name, size, info.quantisation, _context(info, loaded), _until(loaded, now))
        table.add_row(*(Text(plain(cell)) for cell in cells), _gpu(loaded), Text(plain(info.digest[:7])))
    return table


def _context(info: ModelInfo, loaded: LoadedModel | None) -> str:
    """What it was loaded with, of what it was made for: Ollama lowers it in silence when memory is short."""
    made_for = info.context_tokens or ""
    if loaded is None or loaded.context_tokens in (None, made_for):
        return f"{made_for}"
    return f"{loaded.context_tokens} of {made_for}" if made_for else f"{loaded.context_tokens}"


def _until(loaded: LoadedModel | None, now: float) -> str:
    """How long it stays if nobody asks. The time is put forward only when it is idle: one past is in use."""
    if loaded is None:
        return "no"
    left_s = math.inf if loaded.expires_at is None else loaded.expires_at - now
    if left_s > _FOR_GOOD_S:
        return "for good"
    return f"{math.ceil(left_s / 60)} min" if left_s > 0 else "in use"


def _gpu(loaded: LoadedModel | None) -> Text:
    share = loaded.gpu_share if loaded else None
    if share is None:
        return Text("")
    return Text(f"{share:.0%}", style="" if share == 1 else "red")
