"""What a model is, and the table of those an instance has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from loadtests.emulator.speeds import Speeds

GIB = 1024**3
Prefill = Literal["continue", "restart", "repeat", "trim_space"]

SERIAL_FAMILIES = frozenset(
    [
        "mllama",
        "qwen3vl",
        "qwen3vlmoe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "nemotron_h_omni",
    ]
)
"""Families that take one request at a time whatever OLLAMA_NUM_PARALLEL says; no API tells."""


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the table.

    Attributes:
        name: Full name with tag, as `/api/tags` lists it.
        blob: Identity of the GGUF file: the scheduler's key, shared by a base and its LoRA.
        prefill: What it does with a last message of the assistant.
        native: True: llama-server applies the chat template. False: Ollama renders it (other quirks).
        token_chars: Most letters of one token of a chat's prompt: 2 makes three tokens of a usual word.
        cpu_factor: What is left of the decode speed when not everything fits the GPU.
    """

    name: str
    digest: str
    blob: str
    family: str = "llama"
    quant: str = "Q4_K_M"
    params: str = "8.0B"
    size: int = 4_920_000_000
    train_ctx: int = 131_072
    capabilities: tuple[str, ...] = ("completion", "tools")
    options: Mapping[str, Any] = field(default_factory=dict)
    adapters: tuple[str, ...] = ()
    speeds: Speeds = field(default_factory=Speeds)
    embed_dim: int = 4096
    kv_bytes_per_token: int = 131_072
    native: bool = True
    prefill: Prefill = "continue"
    token_chars: int = 4
    cpu_factor: float = 0.08
    modified_s: float = 0.0

    @property
    def is_embedding_only(self) -> bool:
        return "embedding" in self.capabilities and "completion" not in self.capabilities

    def parallel(self, wanted: int) -> int:
        """Slots its runner gets."""
        return 1 if self.is_embedding_only or self.family in SERIAL_FAMILIES else wanted

    def details(self) -> dict[str, Any]:
        """The `details` object of tags, ps and show."""
        return {
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.params,
            "quantization_level": self.quant,
        }


def digest(text: str) -> str:
    """A digest that names `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def full_name(name: str) -> str:
    """With its tag, in lower case: how names are compared."""
    name = name.strip().lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def model(name: str, **changes: Any) -> Model:
    """A model whose digest and blob follow from its name."""
    name = full_name(name)
    changes.setdefault("digest", digest(f"manifest {name}"))
    changes.setdefault("blob", f"sha256-{digest(f'blob {name}')}")
    return Model(name, **changes)


def read_models(table: Sequence[Mapping[str, Any] | Model]) -> tuple[Model, ...]:
    """Models from JSON: objects with `name` and any other field of `Model`; `speeds` is an object too.

    Raises:
        ValueError: No name, or a field that a model does not have.
    """
    return tuple(entry if isinstance(entry, Model) else _read(entry) for entry in table)


def _read(entry: Mapping[str, Any]) -> Model:
    known = {spec.name for spec in fields(Model)}
    for name in entry:
        if name not in known:
            raise ValueError(f"unknown field {name!r} of a model; known: {', '.join(sorted(known))}")
    if "name" not in entry:
        raise ValueError("a model has a name")
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    if "speeds" in entry:
        changes["speeds"] = Speeds.read(entry["speeds"])
    del changes["name"]
    return model(str(entry["name"]), **changes)


class ModelTable:
    """The models an instance has; pull, create, copy and delete change it."""

    def __init__(self, models: tuple[Model, ...]) -> None:
        self._models = {full_name(m.name): m for m in models}

    def find(self, name: str) -> Model | None:
        return self._models.get(full_name(name)) if name else None

    def add(self, added: Model) -> None:
        self._models[full_name(added.name)] = added

    def copy(self, source: Model, name: str) -> None:
        self.add(replace(source, name=full_name(name)))

    def remove(self, name: str) -> None:
        del self._models[full_name(name)]

    def all(self) -> list[Model]:
        """Newest first, as `/api/tags` lists them."""
        return sorted(self._models.values(), key=lambda m: (-m.modified_s, m.name))
