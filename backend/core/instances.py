"""What a model server is to us: one spec for settings, registry, shared notes and the admin API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypeGuard, get_args

from backend.core.addresses import complaint, credentials, without_credentials
from backend.core.errors import InvalidRequest
from backend.core.model_names import is_model_name

Kind = Literal["ollama", "openai", "llama.cpp", "vllm", "mlx", "transformers"]
"""Ollama's own protocol, or OpenAI's as one kind of server speaks it; `openai`: no matter which."""
KINDS: tuple[Kind, ...] = get_args(Kind)
OLLAMA: Kind = "ollama"
MAX_SLOTS = 10_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"[\x21-\x7e]{1,4096}")
_NAMES = 1000


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One model server, as whoever names it describes it.

    Attributes:
        id: Unique in the pool; shown in metrics, logs and the admin API.
        kind: How it is spoken to.
        url: Base URL; may hold a user and a password in place of a key. Never shown: see `address`.
        key: Sent as a bearer token, to this address only; "" for none.
        slots: Generations it serves at once.
        models: Names it is meant to serve, of the pool; empty: whatever it lists.
        served_names: What the server itself calls a model of the pool, where that is another name.
        models_at_once: Models it holds in memory at once.
    """

    id: str
    kind: Kind
    url: str = field(repr=False)
    key: str = field(default="", repr=False)
    slots: int = 1
    models: frozenset[str] = frozenset()
    served_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    models_at_once: int = 1

    @property
    def address(self) -> str:
        """`url` without credentials; safe to show."""
        return without_credentials(self.url)

    @classmethod
    def parse(cls, given: Mapping[str, Any], **defaults: int) -> InstanceSpec:
        """The spec that a JSON object describes; `defaults` stand for what it leaves out.

        Raises:
            InvalidRequest: A field is unknown, missing, or of another type; its value is not in the message.
        """
        if unknown := sorted(given.keys() - _FIELDS.keys()):
            raise InvalidRequest(f"has no field {ascii(unknown[0])[:40]}: there are {', '.join(_FIELDS)}")
        if missing := [name for name in ("id", "kind", "url") if name not in given]:
            raise InvalidRequest(f"needs {' and '.join(missing)}")
        for name, value in given.items():
            if not _FIELDS[name].accepts(value):
                raise InvalidRequest(f"its {name} must be {_FIELDS[name].meant}")
        spec = cls(**{**defaults, **given})
        return replace(
            spec, models=frozenset(spec.models), served_names=MappingProxyType({**spec.served_names})
        )

    def check(self) -> None:
        """Whether it can be an instance of the pool.

        Raises:
            InvalidRequest: It cannot; says why, and holds no secret.
        """
        if not _ID.fullmatch(self.id):
            raise InvalidRequest("its id must be 1 to 64 letters, digits, dots, dashes or underscores")
        if self.kind not in KINDS:
            raise InvalidRequest(f"its kind must be one of {', '.join(KINDS)}")
        if said := complaint(self.url):
            raise InvalidRequest(f"its address {said}")
        self._check_key()
        if not (1 <= self.slots <= MAX_SLOTS and 1 <= self.models_at_once <= MAX_SLOTS):
            raise InvalidRequest(f"its slots and models_at_once must lie between 1 and {MAX_SLOTS}")
        names = [*self.models, *self.served_names, *self.served_names.values()]
        if len(names) > _NAMES or not all(map(is_model_name, names)):
            raise InvalidRequest("its models and served_names must be names of models")

    def _check_key(self) -> None:
        if not self.key:
            return
        if not _KEY.fullmatch(self.key):
            raise InvalidRequest("its key must be printable ASCII without blanks")
        if credentials(self.url):
            raise InvalidRequest(
                "its address has credentials, and it has a key: a server takes one of the two"
            )


@dataclass(frozen=True, slots=True)
class _Field:
    """What a field of the JSON form holds."""

    meant: str
    holds: type
    of: type | None = None

    def accepts(self, value: object) -> bool:
        if not isinstance(value, self.holds) or isinstance(value, bool):
            return False
        if isinstance(value, Mapping):
            return all(isinstance(part, str) for pair in value.items() for part in pair)
        return self.of is None or (_is_iterable(value) and all(isinstance(one, self.of) for one in value))


def _is_iterable(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


_FIELDS: Mapping[str, _Field] = {
    "id": _Field("text", str),
    "kind": _Field(f"one of {', '.join(KINDS)}", str),
    "url": _Field("text", str),
    "key": _Field("text", str),
    "slots": _Field("a whole number", int),
    "models": _Field("a list of names", list, str),
    "served_names": _Field("an object of names", dict),
    "models_at_once": _Field("a whole number", int),
}
