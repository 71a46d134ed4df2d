"""The emulated machines of a scenario, and how much each can do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from loadtests.pool.flow import most_served
from ollama_emulator.presets import PRESETS
from ollama_emulator.speeds import Speeds

MODEL = "llama3.1:8b"


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance to emulate.

    Attributes:
        speed: Times the preset's, reading and writing alike.
        models: All of them fit its memory together.
        stream_tps: If set, every stream gets this rate whatever the number of busy slots.
    """

    id: str
    slots: int = 4
    speed: float = 1.0
    models: tuple[str, ...] = (MODEL,)
    preset: str = "7b-4090"
    stream_tps: float | None = None

    @property
    def speeds(self) -> Speeds:
        """What its emulator is told."""
        base = PRESETS[self.preset].speeds
        decode = {busy: tps * self.speed for busy, tps in base.decode.items()}
        prefill_tps = base.prefill_tps * self.speed
        return replace(
            base, load_s=0.1, prefill_tps=prefill_tps, decode=decode, per_stream_tps=self.stream_tps
        )

    def request_s(self, prompt_tokens: float, output_tokens: float) -> float:
        """How long the whole machine is taken by one request when all slots are busy.

        Exact for the emulator's step loop: prompts are read at one rate whoever they belong to, and a token
        of one stream costs its share of a step of `slots` tokens.
        """
        speeds = self.speeds
        return prompt_tokens / speeds.prefill_tps + output_tokens / speeds.decode_tps(self.slots)

    def knobs(self) -> dict[str, Any]:
        """For `ollama_emulator --knobs`: replies count, models stay, memory is no limit."""
        table = [
            {"name": name, "speeds": asdict(self.speeds), "kv_bytes_per_token": 1} for name in self.models
        ]
        return {
            "models": table,
            "num_parallel": self.slots,
            "max_loaded": len(self.models),
            "keep_alive_s": -1,
            "one_gpu": True,
            "reply": {"mode": "count"},
            "preset": "paced-5ms",
        }


def seconds_of(machines: Iterable[Machine], prompt_tokens: float, output_tokens: float) -> float:
    """How long all machines together, shared without waste, are taken by one request."""
    return 1 / sum(1 / machine.request_s(prompt_tokens, output_tokens) for machine in machines)


def slots_of(machines: Sequence[Machine]) -> dict[str, int]:
    return {machine.id: machine.slots for machine in machines}


def most_per_s(
    machines: Sequence[Machine], asked_per_s: Mapping[str, float], prompt_tokens: float, output_tokens: float
) -> float:
    """The fluid optimum: most requests a second of those `asked_per_s` (by model), all of one mean length."""
    room = {machine.id: 1 / machine.request_s(prompt_tokens, output_tokens) for machine in machines}
    models = {machine.id: machine.models for machine in machines}
    return most_served(asked_per_s, room, lambda model, machine: model in models[machine])
