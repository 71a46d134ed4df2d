"""Faults: which are on, and which request one of them strikes.

The kinds, by the moment they strike:

    connection   refuse  slow_accept  stop_server
    request      accept_then_hang  reset_before_headers  status
    stream       error_mid  eof_mid  reset_mid  truncate_line  garbage_line  blank_line  drop_done_metrics
                 no_done_reason
    generation   freeze  oom_runtime  ignore_disconnect
    machine      jitter  throttle  stuck_runner  gpu_lost
    load         slow_load  load_fail  load_stall  oom_load
    answers      ps_stall  clock_skew  version_change  pull_error
    at once      evict_now  restart  kill_runner  end_orphans
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ollama_emulator.models import full_name

AT_ONCE = ("evict_now", "restart", "kill_runner", "end_orphans")
"""Done once, the moment they are ordered."""
KINDS = frozenset(
    [
        "refuse",
        "slow_accept",
        "stop_server",
        "accept_then_hang",
        "reset_before_headers",
        "status",
        "error_mid",
        "eof_mid",
        "reset_mid",
        "truncate_line",
        "garbage_line",
        "blank_line",
        "drop_done_metrics",
        "no_done_reason",
        "freeze",
        "oom_runtime",
        "ignore_disconnect",
        "jitter",
        "throttle",
        "stuck_runner",
        "gpu_lost",
        "slow_load",
        "load_fail",
        "load_stall",
        "oom_load",
        "ps_stall",
        "clock_skew",
        "version_change",
        "pull_error",
        *AT_ONCE,
    ]
)
_SELECTORS = frozenset(["kind", "model", "paths", "probability", "nth", "times", "after_s", "for_s"])


@dataclass(slots=True)
class Fault:
    """A fault that is on.

    Attributes:
        params: What is particular to its kind (`k`, `s`, `code`, `body`, `factor`, …).
        model: Only requests for this model; "" is all.
        paths: Only these paths; empty: what is natural for the kind.
        nth: Only the n-th request that it could strike, from 1; 0 is every one.
        times: How often it may still strike; None is always.
    """

    id: int
    kind: str
    params: dict[str, Any]
    model: str = ""
    paths: tuple[str, ...] = ()
    probability: float = 1.0
    nth: int = 0
    times: int | None = None
    from_s: float = 0.0
    until_s: float = float("inf")
    seen: int = 0
    struck: int = 0

    def number(self, name: str, default: float) -> float:
        """A parameter that is a number; "forever" is infinite."""
        value = self.params.get(name, default)
        return float("inf") if value in ("forever", None) else float(value)

    def text(self, name: str, default: str) -> str:
        return str(self.params.get(name, default))


@dataclass(slots=True)
class FaultBook:
    """The faults that are on; changed live through the control port.

    Args:
        now: Emulated time.
        seed: Of the dice for `probability`.
    """

    now: Callable[[], float]
    seed: int = 0
    _on: list[Fault] = field(default_factory=list)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def add(self, spec: Mapping[str, Any]) -> Fault:
        """Switch one on.

        Raises:
            ValueError: No such kind.
        """
        kind = str(spec.get("kind", ""))
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(sorted(KINDS))}")
        begin = self.now() + float(spec.get("after_s", 0.0))
        paths = spec.get("paths", ())
        fault = Fault(
            next(self._ids),
            kind,
            {name: value for name, value in spec.items() if name not in _SELECTORS},
            model=str(spec.get("model", "")),
            paths=(paths,) if isinstance(paths, str) else tuple(paths),
            probability=float(spec.get("probability", 1.0)),
            nth=int(spec.get("nth", 0)),
            times=None if spec.get("times") is None else int(spec["times"]),
            from_s=begin,
            until_s=begin + float(spec.get("for_s", float("inf"))),
        )
        self._on.append(fault)
        return fault

    def clear(self, which: int | str = "all") -> int:
        """Switch off one (by id), one kind, or "all"; how many were on."""
        before = len(self._on)
        self._on = [f for f in self._on if which not in ("all", f.id, f.kind)]
        return before - len(self._on)

    def on(self) -> list[Fault]:
        return list(self._on)

    def peek(self, kind: str, model: str = "") -> Fault | None:
        """The fault of that kind now on for that model; does not count as a strike."""
        return next(self._matching(kind, model), None) if self._on else None

    def strike(self, kind: str, model: str = "", path: str = "") -> Fault | None:
        """As `peek`, but counted: `nth`, `probability` and `times` decide whether it strikes this request."""
        for fault in self._matching(kind, model) if self._on else ():
            if fault.paths and path not in fault.paths:
                continue
            fault.seen += 1
            if fault.nth and fault.seen != fault.nth:
                continue
            if fault.probability < 1.0 and self._dice.random() >= fault.probability:
                continue
            if fault.times is not None:
                fault.times -= 1
            fault.struck += 1
            return fault
        return None

    def _matching(self, kind: str, model: str) -> Iterator[Fault]:
        now_s = self.now()
        for fault in self._on:
            if fault.kind != kind or fault.times == 0 or not fault.from_s <= now_s < fault.until_s:
                continue
            if not fault.model or (model and full_name(fault.model) == full_name(model)):
                yield fault
