"""One name a model: Ollama takes its names in any case and without `:latest`, others only as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LATEST = ":latest"

Listing = tuple[bool, Iterable[str]]
"""Whether a server takes its names loosely, and the names that it lists."""


def folded(name: str) -> str:
    """What two names of one Ollama model have in common.

    Source: Ollama compares names without regard to case, and `latest` is the tag of a name that has none.
    """
    plain = name.strip().lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return plain.removesuffix(LATEST)


@dataclass(frozen=True, slots=True)
class Names:
    """What the models of a pool are called.

    A loose name is called what a strict server calls the same model, since that one takes no other; else what
    the first server calls it that lists it.
    """

    strict: frozenset[str] = frozenset()
    loose: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """The one name of a model that is asked for by `name`; itself where nobody lists it."""
        if name in self.strict:
            return name
        return self.loose.get(folded(name), (name,))[0]

    def of_all(self, names: Iterable[str], *, loose: bool) -> tuple[str, ...]:
        """What the models that a server lists, or holds, are called; no name twice."""
        if not loose:
            return tuple(dict.fromkeys(names))
        return tuple(dict.fromkeys(each for name in names for each in self.loose.get(folded(name), (name,))))


def names_of(listings: Sequence[Listing]) -> Names:
    """The names of all servers, in a stable order."""
    strict = [name for loose, names in listings if not loose for name in names]
    called: dict[str, tuple[str, ...]] = {}
    for name in (name for loose, names in listings if loose for name in names):
        key = folded(name)
        called.setdefault(key, tuple(dict.fromkeys(s for s in strict if folded(s) == key)) or (name,))
    return Names(frozenset(strict), called)
