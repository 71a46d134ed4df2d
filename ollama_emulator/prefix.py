"""Slots, what each remembers, and the host's store of sequences that lost theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ollama_emulator.tokens import common_prefix

SIMILAR = 0.10
"""A slot is preferred for its memory when at least this share of the prompt is there already."""
KEEP = 0.5
"""A slot that would lose more than this share of its memory has it saved to the host's store first."""


@dataclass(slots=True)
class Slot:
    """Room for one sequence, and the prompt and output it last held."""

    id: int
    tokens: list[str] = field(default_factory=list)
    used_s: float = 0.0
    busy: bool = False


@dataclass(slots=True)
class HostStore:
    """Sequences kept in main memory, least recently saved dropped first.

    Args:
        room: Most tokens kept in all.
    """

    room: int
    _saved: list[list[str]] = field(default_factory=list)

    def save(self, tokens: list[str]) -> None:
        if not tokens or len(tokens) > self.room:
            return
        self._saved.append(tokens)
        while sum(map(len, self._saved)) > self.room:
            del self._saved[0]

    def take(self, prompt: Sequence[str], better_than: int) -> list[str] | None:
        """The saved sequence with the longest common prefix beyond `better_than`; taken out."""
        best = max(self._saved, key=lambda saved: common_prefix(saved, prompt), default=None)
        if best is None or common_prefix(best, prompt) <= better_than:
            return None
        self._saved = [saved for saved in self._saved if saved is not best]
        return best


@dataclass(slots=True)
class Slots:
    """The slots of one runner."""

    all: list[Slot]
    store: HostStore

    @classmethod
    def make(cls, count: int, store_tokens: int) -> Slots:
        return cls([Slot(number) for number in range(count)], HostStore(store_tokens))

    def take(self, prompt: list[str], now_s: float) -> tuple[Slot, int]:
        """An idle slot for `prompt`, and how many of its tokens are there already (all but one at most)."""
        idle = [slot for slot in self.all if not slot.busy]
        best = max(idle, key=lambda slot: common_prefix(slot.tokens, prompt))
        shared = common_prefix(best.tokens, prompt)
        if not shared or shared < SIMILAR * len(prompt):
            best = min(idle, key=lambda slot: slot.used_s)
            shared = common_prefix(best.tokens, prompt)
        if best.tokens and shared < KEEP * len(best.tokens):
            self.store.save(best.tokens)
        if restored := self.store.take(prompt, shared):
            shared = common_prefix(restored, prompt)
        best.busy, best.used_s = True, now_s
        return best, max(0, min(shared, len(prompt) - 1))

    def give_back(self, slot: Slot, tokens: list[str], now_s: float) -> None:
        """The slot is idle and remembers `tokens`."""
        slot.tokens, slot.used_s, slot.busy = tokens, now_s, False
