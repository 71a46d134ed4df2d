"""What a model is, and the table of those an instance has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

from ollama_emulator.speeds import Speeds
from ollama_emulator.templates import AFTER_ASSISTANT, CHECKS_LAST, Prefill
from ollama_emulator.tokens import LONGEST_WORD

GIB = 1024**3
REGISTRY = "registry.ollama.ai"
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}:[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")

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
        template: Its kind: `checks_last`, or one of Ollama's own (`templates.AFTER_ASSISTANT`).
        prefill: What it does with a last message of the assistant; None: as its template has it.
        native: True: llama-server applies the chat template. False: Ollama renders it (other quirks).
        word_letters: Most letters of a word in one token; 1 to 3: a tokeniser that never saw the language.
        reasons_anyway: It reasons whatever `think` says; where that is not separated, the tags and what is
            between them are part of its answer.
        think_tags: Around its reasoning; "" first: only the closing tag comes, and nothing separates it.
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
    template: str = CHECKS_LAST
    prefill: Prefill | None = None
    word_letters: int = LONGEST_WORD
    reasons_anyway: bool = False
    think_tags: tuple[str, str] = ("<think>", "</think>")
    cpu_factor: float = 0.08
    modified_s: float = 0.0

    @property
    def after_assistant(self) -> Prefill:
        """What it says after a last message of the assistant."""
        return self.prefill or AFTER_ASSISTANT[self.template]

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
    return tagged(name).lower().removeprefix(f"{REGISTRY}/").removeprefix("library/")


def tagged(name: str) -> str:
    """With `:latest` where there is no tag."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def qualified(name: str) -> str:
    """With registry and namespace, as some errors name a model."""
    parts = full_name(name).split("/")
    return "/".join([REGISTRY, "library", *parts] if len(parts) == 1 else [REGISTRY, *parts][-3:])


def is_valid_name(name: str) -> bool:
    """Whether a model could have it: host, namespace, model and tag of the letters they may have."""
    *place, last = tagged(name).split("/")
    return len(place) < 3 and all(
        pattern.fullmatch(part)
        for part, pattern in zip((last, *reversed(place)), (_MODEL, _NAMESPACE, _HOST), strict=False)
    )


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
    if (kind := entry.get("template", CHECKS_LAST)) not in AFTER_ASSISTANT:
        raise ValueError(f"unknown template {kind!r}; known: {', '.join(sorted(AFTER_ASSISTANT))}")
    if (prefill := entry.get("prefill")) not in (None, *get_args(Prefill)):
        raise ValueError(f"unknown prefill {prefill!r}; known: {', '.join(get_args(Prefill))}")
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
