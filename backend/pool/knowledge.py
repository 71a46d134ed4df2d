"""What all processes know of the instances, as this one last read it, in the terms of the rules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import TypeVar

from backend.core.clock import Clock
from backend.core.errors import EngineError
from backend.core.instances import OLLAMA
from backend.pool.barred import Bar, Bars, barred, in_force
from backend.pool.base import Instance, OfferedModel
from backend.pool.capacity import Observed
from backend.pool.contexts import Contexts, reloaded
from backend.pool.health import Health, failed
from backend.pool.model_list import merged
from backend.pool.names import Names, names_of
from backend.pool.note_forms import BARRED, HEALTH, LOADING, REPORT, Form, Loading
from backend.pool.preference import Profile
from backend.pool.registry import Registry
from backend.pool.report import Called, Report, offers_of
from backend.pool.shared_notes.base import Note, SharedNotes

log = logging.getLogger(__name__)
T = TypeVar("T")
_LOAD_S = 5.0
"""How long a load is thought to take before one was seen."""


class Knowledge:
    """One process's reading of the shared notes; what it changes is there for all.

    Args:
        quarantine_s: First time that an instance which failed is avoided.

    Attributes:
        contexts: How long a prompt and its answer may be where.
        names: What the models are called.
    """

    def __init__(
        self,
        registry: Registry,
        notes: SharedNotes,
        clock: Clock,
        *,
        quarantine_s: float = 30.0,
        contexts: Contexts | None = None,
    ) -> None:
        self.contexts = contexts or Contexts()
        self.names = Names()
        self._registry = registry
        self._notes = notes
        self._clock = clock
        self._quarantine_s = quarantine_s
        self._rng = Random()  # noqa: S311  jitter, not secrets
        self._health: dict[str, Health] = {}
        self._reports: dict[str, Report] = {}
        self._loading: dict[str, Loading] = {}
        self._barred: dict[str, Mapping[str, Bar]] = {}

    async def read(self) -> None:
        """Take in what others changed."""
        await self._registry.read()
        self._health = await self._all(HEALTH)
        self._reports = await self._all(REPORT)
        self._loading = await self._all(LOADING)
        self._barred = await self._all(BARRED)
        self._name()

    async def forget(self, id: str) -> None:
        """What is known of an instance of that name is void."""
        for kind in (HEALTH.kind, REPORT.kind, LOADING.kind, BARRED.kind):
            await self._notes.change(kind, id, lambda _: None)

    def instances(self) -> Mapping[str, Instance]:
        """Every instance by its id, in a stable order."""
        return self._registry.instances

    def health(self, id: str) -> Health:
        """How an instance is."""
        return self._health.get(id, Health())

    def report(self, id: str) -> Report:
        """What an instance said of itself, by its own names, and what was measured of it."""
        return self._reports.get(id, Report())

    def loading(self, id: str) -> Loading:
        """What is being loaded there, and how loads went."""
        return self._loading.get(id, Loading())

    def bars(self, id: str) -> Mapping[str, Bar]:
        """Models that an instance lists and does not serve, or did not lately."""
        return self._barred.get(id, {})

    def barred(self, id: str) -> dict[str, Bar]:
        """Those that it does not serve now."""
        return in_force(self.bars(id), self._clock.now())

    def profile(self, one: Instance) -> Profile:
        """What an instance says of itself, by the pool's names."""
        report, called = self.report(one.id), self._called(one)
        return Profile(
            models=None if report.models is None else called(report.listed),
            loaded=None if report.loaded is None else frozenset(called(report.loaded)),
            tokens_per_s=report.tokens_per_s,
            on_gpu=report.on_gpu,
        )

    def that_may_hold(self, model: str) -> dict[str, Profile]:
        """What those instances say of themselves that hold `model`, or do not say what they hold."""
        found = {id: self.profile(one) for id, one in self.instances().items()}
        return {id: one for id, one in found.items() if one.loaded is None or model in one.loaded}

    def observed(self) -> dict[str, Observed]:
        """What the rules need to know of each instance."""
        return {id: self._known(id, one) for id, one in self.instances().items()}

    def offers(self) -> tuple[OfferedModel, ...]:
        """What the instances offer that are not avoided, every name once."""
        now = self._clock.now()
        return merged(
            [model for model in self._offers_of(one) if model.info.name not in self.barred(id)]
            for id, one in self.instances().items()
            if self.health(id).state(now) != "open"
        )

    def context_tokens(self, id: str, model: str) -> int | None:
        """The context of `model` there; None if nothing tells."""
        return self.contexts.of(id, model, self.report(id), self._clock.now())

    def refused_context(self, id: str, model: str, tokens: int) -> None:
        """It refused a prompt of `model` as too long, and told its context."""
        self.contexts.refused(id, model, tokens, self._clock.now())

    def oddity(self, one: Instance) -> str:
        """What is odd about an instance that answers, for an operator to read."""
        report = self.report(one.id)
        asked = self.contexts.asked if one.engine.name == OLLAMA else None  # the others cannot be asked
        return report.oddity() or reloaded(report, asked)

    async def failed(
        self,
        id: str,
        error: EngineError,
        began: float | None = None,
        model: str = "",
        silent_s: float | None = None,
    ) -> None:
        """Count a failure against the instance as a whole."""
        silent_since = None if silent_s is None else self._clock.now() - silent_s

        def counted(health: Health) -> Health:
            return failed(
                health,
                error,
                self._clock.now(),
                quarantine_s=self._quarantine_s,
                random=self._rng.random(),
                began=began,
                model=model,
                silent_since=silent_since,
            )

        health = await self.change_health(id, counted)
        said = {"event": "instance_failed", "instance": id, "code": error.code}
        log.warning("an instance failed", extra=said | {"state": health.state(self._clock.now())})

    async def bar(self, id: str, model: str, error: EngineError) -> None:
        """Count a failure against one model there."""
        now, first_s = self._clock.now(), self._quarantine_s
        await self.change_bars(id, lambda bars: barred(bars, model, error, now, first_s=first_s))
        said = {"event": "model_barred", "instance": id, "code": error.code, "model": model}
        log.warning("an instance does not serve a model that it lists", extra=said)

    async def unbar(self, id: str, model: str) -> None:
        """The model may be asked for there again."""
        await self.change_bars(id, lambda bars: {m: bar for m, bar in bars.items() if m != model})

    async def change_health(self, id: str, change: Callable[[Health], Health]) -> Health:
        """The health of an instance after `change`, which may be called more than once."""
        self._health[id] = await self._changed(HEALTH, id, change)
        return self._health[id]

    async def change_bars(self, id: str, change: Callable[[Bars], Bars]) -> None:
        """Bar models of an instance, or let them be asked for again."""
        self._barred[id] = await self._changed(BARRED, id, change)

    async def change_report(self, id: str, change: Callable[[Report], Report]) -> None:
        """Note what was seen of an instance."""
        self._reports[id] = await self._changed(REPORT, id, change)
        self._name()

    async def change_loading(self, id: str, change: Callable[[Loading], Loading]) -> None:
        """Note what becomes of a load."""
        self._loading[id] = await self._changed(LOADING, id, change)

    async def _all(self, form: Form[T]) -> dict[str, T]:
        return {id: form.read(note) for id, note in (await self._notes.read(form.kind)).items()}

    async def _changed(self, form: Form[T], id: str, change: Callable[[T], T]) -> T:
        def changed(note: Note | None) -> Note | None:
            return form.write(change(form.read(note)))

        return form.read(await self._notes.change(form.kind, id, changed))

    def _known(self, id: str, one: Instance) -> Observed:
        loading = self.loading(id)
        return Observed(
            slots=one.slots,
            models=one.models,
            draining=id in self._registry.draining,
            health=self.health(id),
            profile=self.profile(one),
            loading=loading.model,
            evicts=frozenset(loading.evicts),
            models_at_once=one.models_at_once,
            last_loaded_at=loading.ended_at,
            load_s=_LOAD_S if loading.took_s is None else loading.took_s,
            used_at=self.report(id).used_at,
            unloadable_until=loading.failed,
            barred=frozenset(self.barred(id)),
        )

    def _offers_of(self, one: Instance) -> tuple[OfferedModel, ...]:
        return offers_of(one, self.report(one.id), self._called(one))

    def _called(self, one: Instance) -> Called:
        return partial(self.names.of_all, loose=one.loose_names)

    def _name(self) -> None:
        """Draw up the names of all models anew."""
        listings = [(one.loose_names, self.report(id).listed) for id, one in self.instances().items()]
        self.names = names_of(listings)
