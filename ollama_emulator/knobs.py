"""The settings of one instance: defaults, environment variables, JSON, command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_type_hints

from ollama_emulator.durations import from_text
from ollama_emulator.hosts import bound_address
from ollama_emulator.models import Model, read_models
from ollama_emulator.replies import ReplySource


@dataclass(frozen=True, slots=True)
class Knobs:
    """One instance's settings; in the environment `OLLAMA_<NAME>` or `EMU_<NAME>`, in upper case.

    Attributes:
        host: What it takes itself to be bound to; "": what it is. Not loopback: any `Host` is served.
        num_parallel: Slots of each runner.
        max_queue: Requests that may wait for a load; beyond it 503. Loaded models queue without bound.
        keep_alive_s: Negative: for ever.
        load_timeout_s: A load that stands still for so long fails.
        context_length: 0: automatic, 4096.
        vram_bytes: 0: no limit is emulated.
        vram_recovery_s: Wait after an unload, 0 to 5.
        one_gpu: Models busy at the same time slow each other down; otherwise each has a GPU to itself.
        host_cache_mib: Room for sequences taken out of their slots; 0: none.
        time_scale: Real seconds to an emulated one; 0: a simulation, instant and deterministic.
        pull_bytes_per_s: How fast `/api/pull` seems to be.
        reply: What models say.
        models: The table of models; empty: that of the preset.
    """

    host: str = ""
    num_parallel: int = 1
    max_queue: int = 512
    max_loaded: int = 3
    keep_alive_s: float = 300.0
    load_timeout_s: float = 300.0
    context_length: int = 0
    vram_bytes: int = 0
    vram_recovery_s: float = 0.0
    one_gpu: bool = False
    host_cache_mib: int = 8192
    version: str = "0.33.0"
    seed: int = 0
    time_scale: float = 1.0
    preset: str = "7b-4090"
    pull_bytes_per_s: float = 200e6
    reply: ReplySource = field(default_factory=ReplySource)
    models: tuple[Model, ...] = ()

    @property
    def auto_context(self) -> int:
        return self.context_length or 4096

    def updated(self, changes: Mapping[str, Any]) -> Knobs:
        """With `changes` as they come from JSON.

        Raises:
            ValueError: A name or a value that is no knob.
        """
        kinds = get_type_hints(Knobs)
        known: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in kinds:
                raise ValueError(f"unknown knob {name!r}; known: {', '.join(sorted(kinds))}")
            if name == "reply":
                known[name] = self.reply.updated(value)
            elif name == "models":
                known[name] = read_models(value)
            elif name == "host":
                known[name] = bound_address(str(value))
            elif kinds[name] is bool:
                known[name] = str(value).lower() in ("1", "true", "yes")
            else:
                known[name] = kinds[name](value)
        return replace(self, **known)


_ENV_ALIASES = {
    "keep_alive_s": "KEEP_ALIVE",
    "load_timeout_s": "LOAD_TIMEOUT",
    "max_loaded": "MAX_LOADED_MODELS",
}
_DURATIONS = frozenset(["keep_alive_s", "load_timeout_s", "vram_recovery_s"])


def from_environment(environ: Mapping[str, str]) -> Knobs:
    """Defaults, changed by the variables operators already know (`OLLAMA_NUM_PARALLEL`, …)."""
    found: dict[str, Any] = {}
    for spec in fields(Knobs):
        if spec.name in ("reply", "models"):
            continue
        for name in (spec.name.upper(), _ENV_ALIASES.get(spec.name, spec.name.upper())):
            for prefix in ("OLLAMA_", "EMU_"):
                if value := environ.get(prefix + name):
                    found[spec.name] = from_text(value) if spec.name in _DURATIONS else value
    return Knobs().updated(found)
