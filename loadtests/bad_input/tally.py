"""What was tried, and what came back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

CLOSED = 0
"""Status of a connection that was closed without an answer."""


@dataclass(slots=True)
class Group:
    """Inputs of one kind."""

    tried: int = 0
    server_errors: int = 0
    accepted: int = 0
    largest_error_bytes: int = 0


@dataclass(slots=True)
class Tally:
    """All groups, and every surprise by name."""

    groups: dict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    surprises: list[str] = field(default_factory=list)

    def add(self, group: str, name: str, status: int, body: bytes = b"", *, refuse: bool = False) -> None:
        """One input: its status and body; `refuse` if anything but a 4xx or a closed connection is wrong."""
        counted = self.groups[group]
        counted.tried += 1
        counted.server_errors += status >= 500
        counted.accepted += CLOSED < status < 400
        if status >= 400:
            counted.largest_error_bytes = max(counted.largest_error_bytes, len(body))
        if status >= 500 or (status >= 400 and len(body) >= 1024):
            self.surprise(f"{group}: {name}: {status}, {len(body)} bytes: {body[:120]!r}")
        elif refuse and CLOSED < status < 400:
            self.surprise(f"{group}: {name}: accepted with {status}")

    def surprise(self, text: str) -> None:
        """Something that should not have happened."""
        self.surprises.append(text)

    def total(self, figure: str) -> int:
        """Sum of a figure over all groups."""
        return sum(getattr(group, figure) for group in self.groups.values())

    @property
    def largest_error_bytes(self) -> int:
        """The largest body of any error."""
        return max((group.largest_error_bytes for group in self.groups.values()), default=0)
