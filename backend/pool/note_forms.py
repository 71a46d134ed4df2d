"""How facts stand in the shared notes: written by whatever release, read as far as they can be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from backend.pool.barred import Bar
from backend.pool.health import Health
from backend.pool.report import Report
from backend.pool.shared_notes.base import Note

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loading:
    """What is being loaded on an instance, and how loads went; times are seconds of the wall clock.

    Attributes:
        model: Being loaded now; `until`: by then it has ended, or its process has died.
        evicts: Models that go for it.
        took_s: How long the latest load took; `ended_at`: when it ended, well or not.
        failed: Models that could not be loaded, and when that may be tried again.
    """

    model: str | None = None
    until: float | None = None
    evicts: tuple[str, ...] = ()
    took_s: float | None = None
    ended_at: float | None = None
    failed: Mapping[str, float] = field(default_factory=dict)


class Form(Generic[T]):
    """One kind of fact in the notes.

    Args:
        kind: Its name there.
        type_: What it is here.
        nothing: What is known where there is no note, or none that can be read.
    """

    def __init__(self, kind: str, type_: Any, nothing: T) -> None:
        self.kind = kind
        self._nothing = nothing
        self._adapter: TypeAdapter[T] = TypeAdapter(type_)

    def read(self, note: Note | None) -> T:
        """The fact in a note; fields that are not known here are passed over."""
        if not note:
            return self._nothing
        try:
            return self._adapter.validate_python({k: v for k, v in note.items() if v is not None})
        except ValidationError:
            log.warning("a shared note cannot be read", extra={"event": "note_unreadable", "kind": self.kind})
            return self._nothing

    def write(self, fact: T) -> Note | None:
        """The note of a fact; None where there is nothing to say."""
        return None if fact == self._nothing else self._adapter.dump_python(fact, mode="json")


HEALTH = Form("health", Health, Health())
REPORT = Form("seen", Report, Report())
LOADING = Form("loading", Loading, Loading())
BARRED: Form[Mapping[str, Bar]] = Form("barred", dict[str, Bar], {})
