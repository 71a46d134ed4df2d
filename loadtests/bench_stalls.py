"""How soon a stream that stands still is found, and how often one is given up by mistake: an hour a machine.

The emulator's own step loop in simulated time, and the application's own rule. Readers ask short and long
questions, rest, and ask again; what the rule calls a stall before the machine really stops is a mistake.
A gap beyond the upper end would be given up whatever is learned, and is counted by itself.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count

from backend.pool.streams import Stream, Streams
from loadtests.bench import Report, arguments, percentile
from ollama_emulator.clock import VirtualClock
from ollama_emulator.faults import FaultBook
from ollama_emulator.generation import Generation
from ollama_emulator.models import model
from ollama_emulator.options import RunnerOptions
from ollama_emulator.presets import PRESETS
from ollama_emulator.replies import Reply
from ollama_emulator.runner import Place, Runner
from ollama_emulator.truth import Truth

MOST_S, LEAST_S, WATCH_S = 30.0, 5.0, 0.25
"""As by default: the settings `inter_token_timeout_s`, `least_gap_s`, and how often the pool looks."""
GPU_STALL_S = 6.0
COLUMNS = (
    "machine", "readers", "answers", "tokens", "usual gap, ms", "longest gap, s", "mistakes",
    f"over {MOST_S:.0f} s", f"with {LEAST_S:.0f} s for all", "found p50, s", "found at most, s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who asks.

    Attributes:
        readers: At once; as many as the machine has slots.
        prompts: Ranges of prompt tokens and their weights.
        rests_s: Mean pause between an answer and the next question.
        long_after_s: Before that only the first range is asked: nothing is learned of long prompts.
        together: Programs that share the machine, from half of the time on.
        jitter: Spread of the time of a step, in logarithms.
    """

    readers: int = 4
    prompts: tuple[tuple[int, int, float], ...] = ((30, 300, 4), (1000, 2500, 4), (4000, 8000, 1))
    rests_s: float = 8.0
    long_after_s: float = 0.0
    together: int = 1
    jitter: float = 0.0


CROWDS = {
    "": Crowd(),
    ", long prompts only at the end": Crowd(long_after_s=1500.0),
    ", one reader": Crowd(readers=1),
    ", uneven steps": Crowd(jitter=0.5),
    ", shared by two from half-time on": Crowd(together=2),
}
MACHINES = ("7b-4090", "14b-4090", "7b-3090", "7b-cpu")


@dataclass(slots=True)
class Seen:
    """What came of one machine and crowd; times are simulated seconds."""

    answers: int = 0
    tokens: int = 0
    longest_s: float = 0.0
    mistakes: int = 0
    fixed_mistakes: int = 0
    beyond: int = 0
    usual_s: float = 0.0
    found_s: list[float] = field(default_factory=list)


class Hour:
    """One machine, its readers and the rule."""

    def __init__(self, machine: str, crowd: Crowd, seconds: float, seed: int) -> None:
        self.seen = Seen()
        self._crowd, self._seconds = crowd, seconds
        self._rng = random.Random(seed)
        self._clock = VirtualClock(auto=False)
        self._streams = Streams(LEAST_S)
        self._numbers = count()
        self._runner = self._started(machine)

    async def play(self) -> Seen:
        """Let the time pass, then stop the machine and see who notices when."""
        readers = [asyncio.ensure_future(self._reader()) for _ in range(self._crowd.readers)]
        await self._clock.advance(self._seconds)
        await self._stop()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        self._runner.close()
        return self.seen

    async def _stop(self) -> None:
        """The machine stands still in the midst of a stream."""
        while not self._writing():
            await self._clock.advance(1.0)
        self._runner.stuck = True
        streams = self._writing()
        self.seen.usual_s = streams[0].gaps.usual_s
        while not any(stream.moved for stream in streams):
            await self._clock.advance(WATCH_S)
            self._streams.give_up(self._clock.now(), lambda _: True)
        self.seen.found_s.append(max(stream.silent_s(self._clock.now()) for stream in streams))

    def _writing(self) -> list[Stream]:
        return [stream for stream in self._streams.all() if stream.begun]

    async def _reader(self) -> None:
        while True:
            rest_s = self._rng.expovariate(1 / self._crowd.rests_s)
            await self._clock.sleep_until(self._clock.now() + rest_s)
            await self._runner.enter()
            await self._answer()
            self._runner.leave()
            self.seen.answers += 1

    async def _answer(self) -> None:
        with ExitStack() as stack:
            now = self._clock.now()
            stream = stack.enter_context(self._streams.open("one", "m", now=now, most_s=MOST_S))
            stream.waits(now)
            generation = self._generation(self._heard(stream))
            self._runner.start(generation)
            await generation.ended

    def _heard(self, stream: Stream) -> Callable[[bool, str], None]:
        def heard(_thinking: bool, _text: str) -> None:
            now, seen = self._clock.now(), self.seen
            if stream.begun:
                gap_s = stream.silent_s(now)
                seen.longest_s = max(seen.longest_s, gap_s)
                seen.mistakes += MOST_S > gap_s >= stream.gaps.patience_s(LEAST_S, MOST_S)
                seen.fixed_mistakes += gap_s >= LEAST_S
                seen.beyond += gap_s >= MOST_S
            seen.tokens += 1
            self._streams.hears(stream, now)
            stream.waits(now)

        return heard

    def _generation(self, heard: Callable[[bool, str], None]) -> Generation:
        ranges = self._crowd.prompts
        if self._clock.now() < self._crowd.long_after_s:
            ranges = ranges[:1]
        low, high, _ = self._rng.choices(ranges, [weight for *_, weight in ranges])[0]
        size, tokens = self._rng.randint(low, high), self._rng.randint(30, 400)
        prompt = [f"question {next(self._numbers)}", *["word"] * (size - 1)]
        return Generation(prompt, Reply(["word"] * tokens), tokens + 1, self._truth.arrive("/stalls"), heard)

    def _started(self, machine: str) -> Runner:
        faults = FaultBook(self._clock.now)
        if self._crowd.jitter:
            faults.add({"kind": "jitter", "sigma": self._crowd.jitter})
        self._truth = Truth(self._clock.now)
        served = model(machine, speeds=PRESETS[machine].speeds)
        place = Place(1_000_000, self._crowd.readers, 1, 1, 0)
        runner = Runner(served, RunnerOptions(), place, self._clock, faults, self._truth)
        half_s = self._seconds / 2
        runner.rivals = lambda: self._crowd.together if self._clock.now() > half_s else 1
        return runner


async def measured(machine: str, crowd: Crowd, seconds: float, stops: int) -> Seen:
    """One long run, and short ones that stop at other moments."""
    seen = await Hour(machine, crowd, seconds, 0).play()
    for seed in range(1, stops):
        seen.found_s += (await Hour(machine, crowd, seconds / 6, seed).play()).found_s
    return seen


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every machine with every crowd."""
    args = arguments(__doc__ or "", argv)
    seconds, stops = (600.0, 2) if args.quick else (3600.0, 4)
    report, rows, mistakes, found_s = Report("bench_stalls"), [], 0, [0.0]
    for machine in MACHINES:
        for name, crowd in CROWDS.items():
            seen = asyncio.run(measured(machine, crowd, seconds, stops))
            mistakes += seen.mistakes
            found_s += [] if machine == "7b-cpu" else seen.found_s
            rows.append(
                (machine + name, crowd.readers, seen.answers, seen.tokens, 1000 * seen.usual_s,
                 seen.longest_s, seen.mistakes, seen.beyond, seen.fixed_mistakes,
                 percentile(seen.found_s, 50), max(seen.found_s, default=math.nan))
            )  # fmt: skip
    report.table(f"Stalls, {seconds:.0f} simulated seconds each", COLUMNS, rows, key="stalls")
    report.bar("mistakes in all", mistakes, at_most=0)
    report.bar("slowest stall found on a GPU, s", max(found_s), at_most=GPU_STALL_S)
    return report.finish(args)


if __name__ == "__main__":
    sys.exit(main())
