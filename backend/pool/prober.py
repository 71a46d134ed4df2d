"""Looks at instances that are well, and tries those that may be well again; one process does it for all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from backend.core.clock import Clock
from backend.core.errors import EngineError, EngineRefused, EngineTimeout, ModelMissing
from backend.core.types import Message, Sampling
from backend.engines.base import Bounds, End, GenerationRequest
from backend.pool.base import Instance
from backend.pool.contexts import with_others
from backend.pool.health import succeeded
from backend.pool.knowledge import Knowledge
from backend.pool.publisher import Publisher
from backend.pool.report import Report, look
from backend.pool.shared_notes.base import SharedNotes
from backend.pool.traffic import Traffic
from backend.pool.work import Work

log = logging.getLogger(__name__)

_TOLD_NAMES, _TOLD_CHARS = 5, 80
_TRUSTED_S = 30.0
"""For so long after an instance served us, a list of models that it refuses is not held against it."""


@dataclass(frozen=True, slots=True)
class ProbePace:
    """How often, and for how long; in seconds.

    Attributes:
        look_s: Between two looks at an instance, by whichever process; `look_timeout_s`: longest look.
        probe: How long a probe may take; it is one token.
    """

    look_s: float = 5.0
    look_timeout_s: float = 2.0
    probe: Bounds = field(default_factory=lambda: Bounds(2.0, 20.0, 10.0))


class Prober:
    """Finds out how instances are.

    Args:
        default_model: What a server is tried with that does not say what it has; "" for nothing.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        publisher: Publisher,
        traffic: Traffic,
        notes: SharedNotes,
        clock: Clock,
        work: Work,
        *,
        pace: ProbePace,
        default_model: str = "",
    ) -> None:
        self._knowledge = knowledge
        self._publisher = publisher
        self._traffic = traffic
        self._notes = notes
        self._clock = clock
        self._work = work
        self._pace = pace
        self._default_model = default_model
        self._served: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        self._left_out: dict[str, tuple[str, ...]] = {}

    async def start_due(self, id: str, one: Instance) -> None:
        """Look at what is well, and at what refused; probe what may be well again."""
        health = self._knowledge.health(id)
        state = health.state(self._clock.now())
        if state == "half_open" and await self._notes.lead(f"probe:{id}", self._pace.probe.first_token_s):
            self._work.start(f"probe:{id}", self._probe(id, one))
        elif self._is_due(id) and await self._notes.lead(f"look:{id}", self._pace.look_s):
            if state == "closed":
                self._work.start(f"look:{id}", self.look(one))
            elif health.refused and not health.hangs:
                self._work.start(f"probe:{id}", self._knock(id, one))

    async def look(self, one: Instance) -> None:
        """Ask an instance what it has, and note it."""
        self._looked[one.id] = self._clock.monotonic()
        seen = await look(one, self._pace.look_timeout_s)
        if isinstance(seen.dead, EngineRefused):
            await self._doubt(one, seen.dead)
        elif seen.dead is not None:
            await self.failed(one.id, seen.dead)
        else:
            self._tell_left_out(one.id, seen.left_out)
            asked, now = self._knowledge.contexts.asked, self._clock.now()

            def renewed(report: Report) -> Report:
                after = report.after(seen)
                return after if seen.loaded is None else with_others(after, asked, now)

            await self._knowledge.change_report(one.id, renewed)
            await self._publisher.publish()

    async def failed(
        self,
        id: str,
        error: EngineError,
        *,
        began: float | None = None,
        model: str = "",
        silent_s: float | None = None,
    ) -> None:
        """See `Controller.failed`."""
        refused = isinstance(error, EngineRefused)
        if model and (isinstance(error, ModelMissing) or (refused and model in self._knowledge.bars(id))):
            await self._knowledge.bar(id, model, error)
        else:
            await self._knowledge.failed(id, error, began, model, silent_s)
            self._traffic.move_silent(id)
            one = self._knowledge.instances().get(id)
            if refused and one and len(self._tries(one)) > 1:
                self._work.start(f"probe:{id}", self._probe(id, one))
        await self._publisher.publish()

    def served(self, id: str) -> None:
        """It has answered us just now."""
        self._served[id] = self._clock.monotonic()

    def _is_due(self, id: str) -> bool:
        return self._clock.monotonic() >= self._looked.get(id, -self._pace.look_s) + self._pace.look_s

    async def _doubt(self, one: Instance, refusal: EngineRefused) -> None:
        """Its list is refused; some servers have none and serve all the same: then one token decides."""
        if self._clock.monotonic() - self._served.get(one.id, -_TRUSTED_S) < _TRUSTED_S:
            return
        await self._knowledge.failed(one.id, refusal, model=self._default_model)
        await self._publisher.publish()
        if self._tries(one):
            self._work.start(f"probe:{one.id}", self._probe(one.id, one))

    def _tell_left_out(self, id: str, names: tuple[str, ...]) -> None:
        """Say once which names of a server are not offered."""
        if names and names != self._left_out.get(id):
            told = [ascii(name[:_TOLD_CHARS]) for name in names[:_TOLD_NAMES]]
            log.warning(
                "models with names that cannot be shown, or that mean something else, are not offered",
                extra={"event": "names_left_out", "instance": id, "names": told, "count": len(names)},
            )
            self._left_out[id] = names

    async def _knock(self, id: str, one: Instance) -> None:
        """See whether a server that refused is back, without waiting for its time: asking costs nothing."""
        self._looked[id] = self._clock.monotonic()
        seen = await look(one, self._pace.look_timeout_s)
        tries = self._tries(one) or [model.name for model in seen.loaded or ()]
        if seen.models is not None or (isinstance(seen.dead, EngineRefused) and tries):
            await self._probe(id, one, tries)

    def _tries(self, one: Instance) -> list[str]:
        """Models to try it with, the first choice first: what it refused, what it holds, else what it has."""
        known, refused_model = self._knowledge.profile(one), self._knowledge.health(one.id).refused_model
        names = sorted(one.models) or list(known.models or ())
        held = [name for name in names if name in (known.loaded or ())]
        refused = [refused_model] if refused_model else []
        return list(dict.fromkeys((*refused, *(held or ([] if refused else names[:1])))))

    async def _probe(self, id: str, one: Instance, tries: Sequence[str] = ()) -> None:
        """One token, from what it holds if it can be; the only thing that proves an instance well again."""
        began = self._clock.monotonic()
        try:
            if tries := tries or self._tries(one):
                await self._one_of(one, tries)
            else:
                await one.engine.models(one.endpoint)
        except EngineTimeout as exc:
            silent_s = self._clock.monotonic() - began
            await self._knowledge.failed(id, exc, model=tries[0] if tries else "", silent_s=silent_s)
            self._traffic.move_silent(id)
        except EngineError as exc:
            await self._knowledge.failed(id, exc, model=self._knowledge.health(id).refused_model)
        else:
            self.served(id)
            await self._knowledge.change_health(id, succeeded)
        await self._publisher.publish()
        if self._knowledge.health(id).open_until is None:
            log.info("an instance is well again", extra={"event": "instance_well", "instance": id})
            await self.look(one)

    async def _one_of(self, one: Instance, tries: Sequence[str]) -> None:
        """A token of the first model; if only that is refused, it is barred alone."""
        try:
            await self._one_token(one, tries[0])
        except (EngineRefused, ModelMissing) as exc:
            if len(tries) == 1:
                raise
            await self._one_token(one, tries[1])
            await self._knowledge.bar(one.id, tries[0], exc)

    async def _one_token(self, one: Instance, model: str) -> None:
        request = GenerationRequest(
            model=model,
            messages=(Message("user", "ping"),),
            sampling=Sampling(temperature=0.0, max_tokens=1),
            question="ping",
            passages=(),
            language="en",
            bounds=self._pace.probe,
        )
        async with aclosing(one.engine.generate(one.endpoint, request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, End):
                    return
