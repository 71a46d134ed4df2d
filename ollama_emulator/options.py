"""Request options: their types, and those that make a runner reload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ollama_emulator.models import Model

_INTEGERS = frozenset(
    [
        "num_ctx",
        "num_batch",
        "num_gpu",
        "main_gpu",
        "num_thread",
        "num_keep",
        "seed",
        "num_predict",
        "top_k",
        "repeat_last_n",
        "draft_num_predict",
        "mirostat",
    ]
)
_FLOATS = frozenset(
    [
        "temperature",
        "top_p",
        "min_p",
        "typical_p",
        "repeat_penalty",
        "presence_penalty",
        "frequency_penalty",
        "mirostat_tau",
        "mirostat_eta",
        "tfs_z",
    ]
)
_BOOLEANS = frozenset(["use_mmap", "numa", "use_mlock", "low_vram", "shift", "penalize_newline"])


class BadOption(ValueError):
    """An option of the wrong type: the real server answers it with status 500."""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """The options fixed when a model is loaded; None and a negative `num_gpu` are automatic."""

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int = -1
    main_gpu: int = 0
    use_mmap: bool | None = None
    num_thread: int = 0
    draft_num_predict: int = 0
    shift: bool = True
    adapters: tuple[str, ...] = ()

    def differ(self, wanted: RunnerOptions, num_ctx: int, wanted_ctx: int) -> bool:
        """Whether a runner with these options, loaded with `num_ctx`, must be reloaded for `wanted`.

        One for `wanted` would be loaded with `wanted_ctx`; automatic fits automatic in any case.
        """
        is_auto = self.num_ctx is None and wanted.num_ctx is None
        context = not is_auto and wanted_ctx != num_ctx
        gpu = wanted.num_gpu >= 0 and wanted.num_gpu != self.num_gpu
        return context or gpu or self._rest() != wanted._rest()

    def _rest(self) -> tuple[Any, ...]:
        return (
            self.num_batch,
            self.main_gpu,
            self.use_mmap,
            self.num_thread,
            self.draft_num_predict,
            self.shift,
            self.adapters,
        )


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with whole numbers as int; unknown ones are dropped, as is null.

    Raises:
        BadOption: With the server's own sentence.
    """
    return {name: _value(name, value) for name, value in options.items() if value is not None}


def _value(name: str, value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in _INTEGERS:
        if not is_number:
            raise BadOption(f'option "{name}" must be of type integer')
        return int(value)
    if name in _FLOATS and not is_number:
        raise BadOption(f'option "{name}" must be of type float32')
    if name in _BOOLEANS and not isinstance(value, bool):
        raise BadOption(f'option "{name}" must be of type boolean')
    if name == "stop":
        if not isinstance(value, list):
            raise BadOption(f'option "{name}" must be of type array')
        if not all(isinstance(item, str) for item in value):
            raise BadOption(f'option "{name}" must be of an array of strings')
    return value


def runner_options(model: Model, options: Mapping[str, Any], *, shift: bool = True) -> RunnerOptions:
    """What `options` over the model's own ask of its runner; num_ctx within what it was trained for."""
    merged = {**model.options, **options}
    num_ctx = merged.get("num_ctx") or None
    return RunnerOptions(
        num_ctx=min(max(num_ctx, 4), model.train_ctx) if num_ctx else None,
        num_batch=merged.get("num_batch") or None,
        num_gpu=merged.get("num_gpu", -1),
        main_gpu=merged.get("main_gpu", 0),
        use_mmap=merged.get("use_mmap"),
        num_thread=merged.get("num_thread", 0),
        draft_num_predict=merged.get("draft_num_predict", 0),
        shift=bool(merged.get("shift", shift)),
        adapters=model.adapters,
    )
