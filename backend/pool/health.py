"""The breaker of one instance: what generations tell of it, and when it may be tried again.

Why generations and not a status page: docs/adr/0011.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.core.errors import (
    EngineError,
    EngineRefused,
    EngineRejected,
    EngineTimeout,
    EngineUnreachable,
    ModelMissing,
)
from backend.pool.base import InstanceHealth

FAILURES_IN_A_ROW = 3
"""So many that are neither refusal nor silence: one odd prompt must not cost everybody the instance."""
LONGEST = 10.0
"""An opening lasts at most so many times the first one."""
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Health:
    """What all replicas know of one instance; times are seconds of the wall clock they share.

    Attributes:
        failures: In a row.
        trips: Openings since it was last well.
        open_until: None while it is closed.
        reason: For the operator: what the latest error says in words, or its code.
        hangs: It failed by silence: a blind try costs a reader the whole bound for silence.
        refused: It failed by refusing: that it lets one in again says that it is back.
        refused_model: The model that was asked for when it refused us (`EngineRefused`); "" if none was.
        hung_model: The model that stands still there; "" if none is known to. `silent_since`: since when.
        since: When it opened, or when the request began that closed it; what began before is out of date.
        lengthened: A failure came while it was open, and was counted; further ones do not move `open_until`.
    """

    failures: int = 0
    trips: int = 0
    open_until: float | None = None
    reason: str = ""
    hangs: bool = False
    refused: bool = False
    refused_model: str = ""
    hung_model: str = ""
    silent_since: float | None = None
    since: float | None = None
    lengthened: bool = False

    def state(self, now: float) -> InstanceHealth:
        """Closed (in use), open (avoided), or half_open: one probe of the whole cluster decides."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half_open"


def failed(
    health: Health,
    error: EngineError,
    now: float,
    *,
    quarantine_s: float,
    random: float,
    began: float | None = None,
    model: str = "",
    silent_since: float | None = None,
) -> Health:
    """The health after a generation of `model` or a probe failed.

    A refused connection, a 5xx, silence or a refusal of whatever we ask opens at once, and so does any
    failure of a probe; other failures when it is the third in a row. A refusal of the request itself shows
    that the server lives, which is all there is to show unless it hangs: a server whose model hangs still
    refuses what is wrong.

    The first opening lasts `quarantine_s`, each further one twice as long, up to `LONGEST` times; `random`,
    in [0, 1), spreads that by a fifth, so that the probes of many instances do not coincide. `began` is when
    the request began (None: just now). One that is older than the state it would change moves nothing, but
    for an opening, which it may lengthen once: its slots fail one by one for one cause. `silent_since` is
    when the silence began that an `EngineTimeout` tells of.
    """
    if isinstance(error, EngineRejected | ModelMissing):
        return health if health.hangs else succeeded(health, began=began)
    state, silent = health.state(now), isinstance(error, EngineTimeout)
    if state == "open":
        until = now + _length_s(health.trips - 1, quarantine_s, random)
        return _told(_lengthened(health, error, until), error, model, silent_since)
    if _is_late(health, began):
        return health
    refuses = isinstance(error, EngineUnreachable | EngineRefused)
    counted = replace(health, failures=health.failures + 1, reason=error.reason or error.code)
    at_once = silent or refuses or state == "half_open"
    if not at_once and counted.failures < FAILURES_IN_A_ROW:
        return counted
    opened = replace(
        counted,
        trips=health.trips + 1,
        open_until=now + _length_s(health.trips, quarantine_s, random),
        hangs=silent,
        refused=refuses,
        refused_model="",
        hung_model="",
        silent_since=None,
        since=now,
        lengthened=False,
    )
    return _told(opened, error, model, silent_since)


def succeeded(health: Health, *, began: float | None = None) -> Health:
    """The health after a generation or a probe came to its end: closed and cleared.

    What began before the opening does not close it (`began`; None: it began after). It got in while the
    instance still took requests: a server that is being stopped ends what runs and refuses the rest, and one
    whose scheduler hangs goes on with what it has loaded. Closing by mistake gives every slot to readers who
    wait the whole bound for silence; not closing costs a probe.
    """
    if health.open_until is None:
        return Health(since=health.since)
    if _is_late(health, began):
        return health
    return Health(since=health.since if began is None else began)


def _is_late(health: Health, began: float | None) -> bool:
    return began is not None and health.since is not None and began < health.since


def _told(health: Health, error: EngineError, model: str, silent_since: float | None) -> Health:
    """With the model that the error is about."""
    if isinstance(error, EngineRefused):
        return replace(health, refused_model=model)
    if isinstance(error, EngineTimeout) and silent_since is not None:
        return replace(health, hung_model=model, silent_since=silent_since)
    return health


def _lengthened(health: Health, error: EngineError, until: float) -> Health:
    counted = replace(
        health,
        failures=health.failures + 1,
        reason=error.reason or error.code,
        hangs=health.hangs or isinstance(error, EngineTimeout),
        refused=health.refused or isinstance(error, EngineUnreachable | EngineRefused),
    )
    if health.lengthened or health.open_until is None:
        return counted
    return replace(counted, open_until=max(health.open_until, until), lengthened=True)


def _length_s(trips: int, quarantine_s: float, random: float) -> float:
    """Doubled with each opening."""
    times = min(2.0 ** min(max(trips, 0), 30), LONGEST)
    return quarantine_s * times * (1 - JITTER + 2 * JITTER * random)
