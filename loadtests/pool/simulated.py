"""The same arrivals in simulated time: the emulator's own step loop, no processes, no sockets, no lateness.

What comes out is the best a policy can do, and the same wherever it runs: messages take no time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.pool.arrivals import Arrival
from loadtests.pool.attempts import Attempt
from loadtests.pool.choices import Choice
from loadtests.pool.machines import Machine
from loadtests.pool.records import DONE, Record
from ollama_emulator.clock import VirtualClock
from ollama_emulator.faults import FaultBook
from ollama_emulator.generation import Generation
from ollama_emulator.models import model
from ollama_emulator.options import RunnerOptions
from ollama_emulator.replies import Reply
from ollama_emulator.runner import Place, Runner
from ollama_emulator.truth import Truth

_STEP_S = 1.0
"""How far time is moved at once; nothing depends on it."""


@dataclass(slots=True)
class Played:
    """What a simulation brought, in seconds of its own time."""

    records: list[Record] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)


async def play(
    machines: Sequence[Machine], arrivals: Sequence[Arrival], choose: Choice, *, processes: int = 1
) -> Played:
    """Send `arrivals` as `choose` says; a request for which it finds none waits in line for the next slot.

    A machine is one step loop for all its models. Each of `processes` knows only of what it sent itself.
    """
    clock = VirtualClock(auto=False)
    return await run(_Chosen(machines, choose, processes, clock), arrivals, clock)


async def run(stage: Stage, arrivals: Sequence[Arrival], clock: VirtualClock) -> Played:
    """Move time until all are served."""
    tasks = [asyncio.ensure_future(stage.serve(arrival)) for arrival in arrivals]
    try:
        while not all(task.done() for task in tasks):
            await clock.advance(_STEP_S)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stage.close()
    for task in tasks:
        task.result()
    return stage.played


class Stage:
    """Machines in simulated time; a subclass says who is sent where, and when."""

    def __init__(self, machines: Sequence[Machine], clock: VirtualClock) -> None:
        self.played = Played()
        self._clock = clock
        self._truth = Truth(clock.now)
        self._runners = {machine.id: self._runner(machine) for machine in machines}

    async def sent(self, arrival: Arrival, record: Record) -> Machine:
        """The machine for a request, once it is its turn."""
        raise NotImplementedError

    def freed(self, arrival: Arrival, machine: Machine, runner: Runner) -> None:
        """Its slot is free."""
        raise NotImplementedError

    async def serve(self, arrival: Arrival) -> None:
        """One request from its arrival to its end."""
        await self._clock.sleep_until(arrival.at_s)
        record = Record(arrival.id, 0, arrival.model, arrival.subject, self._clock.now())
        record.output_tokens = arrival.output_tokens
        machine = await self.sent(arrival, record)
        attempt = Attempt(arrival.id, machine.id, arrival.model, self._clock.now())
        record.assigned.append((attempt.arrive_s, machine.id))
        runner = self._runners[machine.id]
        await runner.enter()
        attempt.slot_s = self._clock.now()
        ended = self._generation(arrival, record, runner)
        ended.released = lambda: self.freed(arrival, machine, runner)
        runner.start(ended)
        await ended.ended
        attempt.free_s = attempt.done_s = record.ended_s = self._clock.now()
        record.outcome = DONE
        self.played.records.append(record)
        self.played.attempts.append(attempt)

    def close(self) -> None:
        for runner in self._runners.values():
            runner.close()

    def _runner(self, machine: Machine) -> Runner:
        place = Place(1_000_000, machine.slots, 1, 1, 0)
        served = model(machine.id, speeds=machine.speeds)
        return Runner(served, RunnerOptions(), place, self._clock, FaultBook(self._clock.now), self._truth)

    def _generation(self, arrival: Arrival, record: Record, runner: Runner) -> Generation:
        def said(_thinking: bool, _text: str) -> None:
            if record.first_s is None:
                record.first_s = self._clock.now()

        prompt = [f"{arrival.id}", *["word"] * (arrival.prompt_tokens - 1)]
        reply = Reply(["word"] * arrival.output_tokens)
        return Generation(prompt, reply, arrival.output_tokens + 1, self._truth.arrive("/simulated"), said)


class _Chosen(Stage):
    def __init__(
        self, machines: Sequence[Machine], choose: Choice, processes: int, clock: VirtualClock
    ) -> None:
        super().__init__(machines, clock)
        self._machines = machines
        self._choose = choose
        self._held: list[Counter[str]] = [Counter() for _ in range(processes)]
        self._line: list[tuple[Arrival, asyncio.Future[Machine]]] = []

    async def sent(self, arrival: Arrival, record: Record) -> Machine:
        turn: asyncio.Future[Machine] = asyncio.get_running_loop().create_future()
        self._line.append((arrival, turn))
        self._call()
        return await turn

    def _call(self) -> None:
        """Send everybody in line for whom there is a machine."""
        left = []
        for arrival, turn in self._line:
            held = self._held[arrival.id % len(self._held)]
            chosen = self._choose([m for m in self._machines if arrival.model in m.models], held)
            if chosen is None:
                left.append((arrival, turn))
            else:
                held[chosen.id] += 1
                turn.set_result(chosen)
        self._line = left

    def freed(self, arrival: Arrival, machine: Machine, runner: Runner) -> None:
        runner.leave()
        self._held[arrival.id % len(self._held)][machine.id] -= 1
        self._call()
