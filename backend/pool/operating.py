"""What an operator does to the instances takes effect here at once, elsewhere within a second."""

from __future__ import annotations

from dataclasses import dataclass

from backend.core.errors import SlotsUnavailable
from backend.core.instances import InstanceSpec
from backend.pool.controller import Controller
from backend.pool.registry import Registry


@dataclass(frozen=True, slots=True)
class PoolOperator:
    """A `Registry` whose changes the slots are told of; implements `Operator`."""

    registry: Registry
    controller: Controller

    async def add(self, spec: InstanceSpec) -> None:
        """See `Operator.add`."""
        self._check_shared()
        await self.registry.add(spec)
        await self.controller.welcome(spec.id)

    async def drain(self, id: str) -> None:
        """See `Operator.drain`."""
        self._check_shared()
        await self.registry.drain(id)
        await self.controller.refresh()

    async def resume(self, id: str) -> None:
        """See `Operator.resume`."""
        self._check_shared()
        await self.registry.resume(id)
        await self.controller.refresh()

    async def remove(self, id: str) -> None:
        """See `Operator.remove`."""
        self._check_shared()
        await self.registry.remove(id)
        await self.controller.refresh()

    def _check_shared(self) -> None:
        """What only this process heard of would be forgotten as soon as the store is back."""
        if not self.controller.publisher.view.shared:
            raise SlotsUnavailable("the store that processes share is away: nothing was changed")
