"""One instance as the pool sees it: its slots taken, and whether it is to be avoided."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.core.errors import EngineError, EngineRejected, EngineTimeout, EngineUnreachable, ModelMissing
from backend.pool.base import Instance, InstanceHealth, InstanceState

FAILURES_IN_A_ROW = 3


@dataclass(slots=True)
class Seats:
    """The slots of one instance in this process.

    A refused connection, a 5xx or silence puts the instance aside at once; any other failure when it is the
    third in a row (one odd prompt must not cost everybody the instance). After `quarantine_s` one request
    may try it; its outcome decides.

    Attributes:
        taken: Generation id of each slot in use, with the `Clock.monotonic()` at which it began.
        used: When a slot was last taken; among equals the longest unused goes first.
        listed: Models that the server had when it was last asked.
    """

    instance: Instance
    quarantine_s: float
    taken: dict[int, float] = field(default_factory=dict)
    used: float = 0.0
    listed: frozenset[str] = frozenset()
    _open_until: float | None = None
    _failures: int = 0
    _reason: str = ""

    def health(self, now: float) -> InstanceHealth:
        """Closed (in use), open (avoided) or half_open (one request may try)."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half_open"

    def room(self, now: float) -> int:
        """Slots that may be taken now."""
        health = self.health(now)
        if health == "open":
            return 0
        limit = 1 if health == "half_open" else self.instance.slots
        return max(0, limit - len(self.taken))

    def serves(self, model: str) -> bool:
        """Whether the instance may be asked for `model`."""
        return not self.instance.models or model in self.instance.models

    def lists(self, model: str) -> bool:
        """Whether the server said, when it was last asked, that it has `model`."""
        return model in self.listed

    def load(self) -> float:
        """Share of the slots in use."""
        return len(self.taken) / self.instance.slots

    def retry_after_s(self, now: float) -> float:
        """Seconds until the instance may be tried again; 0 when it may be now."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - now)

    def succeeded(self) -> None:
        """A generation came to its end, or the server refused a request for its own sake: it is alive."""
        self._open_until, self._failures, self._reason = None, 0, ""

    def failed(self, error: EngineError, now: float) -> None:
        """A generation failed."""
        if isinstance(error, EngineRejected | ModelMissing):
            self.succeeded()
            return
        self._failures += 1
        self._reason = error.code
        at_once = isinstance(error, EngineUnreachable | EngineTimeout)
        if at_once or self._failures >= FAILURES_IN_A_ROW or self._open_until is not None:
            self._open_until = now + self.quarantine_s

    def state(self, now: float) -> InstanceState:
        """What an operator sees."""
        return InstanceState(
            id=self.instance.id,
            engine=self.instance.engine.name,
            slots=self.instance.slots,
            in_flight=len(self.taken),
            health=self.health(now),
            reason=self._reason,
        )
