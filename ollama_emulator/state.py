"""What one emulated server is at a moment: its knobs, models, faults and runners, without its ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ollama_emulator.clock import Stamps, make_clock
from ollama_emulator.faults import FaultBook
from ollama_emulator.knobs import Knobs
from ollama_emulator.models import Model, ModelTable
from ollama_emulator.orphans import Orphans
from ollama_emulator.presets import PRESETS, models_of
from ollama_emulator.scheduler import Scheduler
from ollama_emulator.truth import Truth
from ollama_emulator.vocabulary import Vocabulary


class State:
    """All that the routes read and change.

    Args:
        models: The table to begin with; by default that of the knobs' preset.
    """

    def __init__(self, knobs: Knobs, models: tuple[Model, ...] | None = None) -> None:
        preset = PRESETS[knobs.preset]
        table = models or knobs.models or models_of(preset)
        self.knobs = replace(knobs, vram_bytes=knobs.vram_bytes or preset.vram_bytes)
        self.clock = make_clock(knobs.time_scale)
        self.stamps = Stamps(self.clock)
        self.truth = Truth(self.clock.now)
        self.faults = FaultBook(self.clock.now, knobs.seed)
        self.table = ModelTable(table)
        self.template = next(m for m in table if "completion" in m.capabilities)
        self.blobs: set[str] = set()
        self.vocabulary = Vocabulary()
        self.orphans = Orphans()
        self.scheduler = self.new_scheduler()

    def new_scheduler(self) -> Scheduler:
        """One with nothing in memory."""
        return Scheduler(
            self.knobs, self.clock, self.faults, self.truth, held_elsewhere=lambda: self.orphans.vram_bytes
        )

    def change_knobs(self, changes: Mapping[str, Any]) -> None:
        """Change knobs of the running server; what is loaded keeps its slots.

        Raises:
            ValueError: No such knob.
        """
        self.knobs = self.knobs.updated(changes)
        self.scheduler.knobs = self.knobs
