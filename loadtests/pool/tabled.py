"""Our slots, queue and announced waits in simulated time: `SlotTable` before the emulator's step loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from backend.pool.eta import Waits
from backend.pool.slots.base import Capacity, Granted, Snapshot, Ticket
from backend.pool.slots.table import Entry, SlotTable
from loadtests.pool.arrivals import Arrival
from loadtests.pool.machines import Machine
from loadtests.pool.records import Record, Told
from loadtests.pool.simulated import Played, Stage, run
from ollama_emulator.clock import VirtualClock
from ollama_emulator.runner import Runner

VIEW_S = 0.5
"""How old what a process knows of slots and queue may be, as in the application."""


async def play_table(
    machines: Sequence[Machine], arrivals: Sequence[Arrival], *, processes: int = 6
) -> Played:
    """Send `arrivals` through our queue. Each process learns of the wait of its own readers only."""
    clock = VirtualClock(auto=False)
    return await run(_Tabled(machines, processes, clock), arrivals, clock)


class _Tabled(Stage):
    def __init__(self, machines: Sequence[Machine], processes: int, clock: VirtualClock) -> None:
        super().__init__(machines, clock)
        self._by_id = {machine.id: machine for machine in machines}
        self._table = SlotTable(10_000, random.Random(1))
        self._waits = [Waits() for _ in range(processes)]
        self._turns: dict[str, asyncio.Future[Machine]] = {}
        self._began: dict[int, float] = {}
        self._view, self._viewed_s = Snapshot(), -VIEW_S
        for machine in machines:
            self._table.put(machine.id, Capacity(machine.slots, frozenset(machine.models)), 0.0)

    async def sent(self, arrival: Arrival, record: Record) -> Machine:
        now_s, ticket = self._clock.now(), str(arrival.id)
        place = self._table.join(Ticket(ticket, arrival.model, arrival.subject, 1e9), {}, now_s)
        if isinstance(place, Granted):
            machine = self._by_id[place.instance]
        else:
            waits = self._waits[arrival.id % len(self._waits)]
            told = waits.interval_s(self._seen(now_s), arrival.model, place.position)
            record.told.append(Told(now_s, place.position, *told))
            turn = self._turns[ticket] = asyncio.get_running_loop().create_future()
            machine = await turn
            waits.waited(told, self._clock.now() - now_s)
        self._began[arrival.id] = self._clock.now()
        return machine

    def freed(self, arrival: Arrival, machine: Machine, runner: Runner) -> None:
        runner.leave()
        now_s = self._clock.now()
        held_s = now_s - self._began.pop(arrival.id)
        self._call(self._table.leave(str(arrival.id), now_s, held_s))

    def _call(self, seated: Sequence[Entry]) -> None:
        for entry in seated:
            assert entry.instance is not None
            self._turns.pop(entry.ticket.id).set_result(self._by_id[entry.instance])

    def _seen(self, now_s: float) -> Snapshot:
        if now_s - self._viewed_s >= VIEW_S:
            self._view, self._viewed_s = self._table.view(now_s), now_s
        return self._view
