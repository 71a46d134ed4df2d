"""Has models loaded where somebody waits for them; one process decides for all."""

from __future__ import annotations

import logging
from dataclasses import replace
from random import Random

from backend.core.aio import to_the_end
from backend.core.clock import Clock
from backend.core.errors import EngineError, EngineRefused, ModelMissing
from backend.pool.knowledge import Knowledge
from backend.pool.note_forms import Loading
from backend.pool.placement import Load, loads
from backend.pool.prober import Prober
from backend.pool.publisher import Publisher
from backend.pool.shared_notes.base import SharedNotes
from backend.pool.work import Work

log = logging.getLogger(__name__)

_DECIDES_S = 5.0
"""How long one process decides what is loaded; then another may."""
_LOAD_AGAIN_S = 2.0
"""A model that failed to load is left alone at least so long: who waited for it is told in that time."""


class Loader:
    """Loads models by requests of its own: a reader who leaves would abort the load.

    Args:
        load_s: Longest load of a model.
        quarantine_s: How long a model that failed to load is left alone there.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        publisher: Publisher,
        prober: Prober,
        notes: SharedNotes,
        clock: Clock,
        work: Work,
        *,
        load_s: float,
        quarantine_s: float,
    ) -> None:
        self._knowledge = knowledge
        self._publisher = publisher
        self._prober = prober
        self._notes = notes
        self._clock = clock
        self._work = work
        self._load_s = load_s
        self._left_alone_s = max(quarantine_s, _LOAD_AGAIN_S)
        self._rng = Random()  # noqa: S311  balance, not secrets

    async def start_due(self) -> None:
        """Begin the loads that are wanted, if this process is to decide."""
        view = self._publisher.view
        if any(view.waiting.values()) and await self._notes.lead("placement", _DECIDES_S):
            known = self._knowledge.observed()
            for load in loads(known, view, self._clock.now(), random=self._rng.random()):
                self._work.start(f"load:{load.instance}", self._load(load))

    async def forget_lost(self) -> None:
        """A process that died while it had a model loaded leaves its note behind."""
        for id in self._knowledge.instances():
            until = self._knowledge.loading(id).until
            if until is not None and until < self._clock.now():
                await self._note(id, model=None, until=None, ended_at=until)

    async def _load(self, load: Load) -> None:
        id, one, began = load.instance, self._knowledge.instances()[load.instance], self._clock.now()
        said = {"event": "model_loading", "instance": id, "model": load.model}
        log.info("a model is loaded", extra=said)
        await self._note(id, model=load.model, evicts=tuple(sorted(load.evicts)), until=began + self._load_s)
        ended: dict[str, object] = {"model": None, "until": None}
        try:
            await one.engine.load(one.endpoint, load.model, within_s=self._load_s)
            ended["took_s"] = self._clock.now() - began
        except EngineError as exc:  # which says nothing of its other models: a look tells whether it is dead
            log.warning(
                "a model could not be loaded", extra=said | {"event": "load_failed", "code": exc.code}
            )
            failed_until = self._clock.now() + self._left_alone_s
            ended["failed"] = {**self._knowledge.loading(id).failed, load.model: failed_until}
            if isinstance(exc, EngineRefused | ModelMissing):
                await self._prober.failed(id, exc, model=load.model)
        finally:
            await self._prober.look(one)
            await to_the_end(self._note(id, **ended, ended_at=self._clock.now()))

    async def _note(self, id: str, **changes: object) -> None:
        def changed(loading: Loading) -> Loading:
            return replace(loading, **changes)  # type: ignore[arg-type]

        await self._knowledge.change_loading(id, changed)
        await self._publisher.publish()
