"""The variables of the process, as the groups and fields of `Settings`. The one reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PREFIX = "LIBRI_"
DELIMITER = "__"
_AROUND = "\ufeff\u200b\u2060 \t\r\n\v\f\u00a0"
_KEY_LOG = "SSLKEYLOGFILE"
_OF_THE_SYSTEM = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH"})
_QUOTES = ("'", '"')

Target = tuple[str, str]
"""A section and one of its fields."""


def cleaned(value: str) -> str:
    """`value` without what a file of variables may leave around it: blanks, line ends, a mark, quotes."""
    value = value.strip(_AROUND)
    if len(value) >= 2 and value[0] == value[-1] and value[0] in _QUOTES:
        return value[1:-1].strip(_AROUND)
    return value


def readable(value: str) -> str:
    """`value`, which the locale may not have understood, as UTF-8; what is none stays as it is."""
    try:
        return value if value.isascii() else os.fsencode(value).decode()
    except UnicodeError:
        return value


def sections(known: Mapping[str, Target]) -> dict[str, dict[str, str]]:
    """What the environment sets, by a field's own name or else by one in `known`; empty ones there are unset.

    A `LIBRI_…` name that is no section with a field is a section of its own, for `Settings` to refuse.
    """
    found: dict[str, dict[str, str]] = {}
    for _, (section, field), value in _variables(known):
        found.setdefault(section, {}).setdefault(field, value)
    return found


def variable_of(section: str, field: str, known: Mapping[str, Target]) -> str:
    """The variable that sets a field, as it is spelt, or would be if none does; "": any of the section."""
    for name, target, _ in _variables(known):
        if target == (section, field or target[1]):
            return name
    return (PREFIX + DELIMITER.join(filter(None, (section, field)))).upper()


def value_of(name: str) -> str:
    """The value of a variable, "" if it is not set."""
    return readable(os.environ.get(name, ""))  # noqa: TID251


@contextmanager
def left_out() -> Iterator[None]:
    """While inside, the process has no variables but those that its libraries are found by. For imports."""
    kept = dict(os.environ)  # noqa: TID251
    for name in kept.keys() - _OF_THE_SYSTEM:
        del os.environ[name]  # noqa: TID251
    try:
        yield
    finally:
        os.environ.update(kept)  # noqa: TID251


def drop_unusable() -> str:
    """Take out a key log that cannot be written: no TLS library survives it. Its name, "" if all is well."""
    if not (path := os.environ.get(_KEY_LOG)):  # noqa: TID251
        return ""
    try:
        with open(path, "ab"):
            return ""
    except (OSError, ValueError):
        del os.environ[_KEY_LOG]  # noqa: TID251
        return _KEY_LOG


def _variables(known: Mapping[str, Target]) -> Iterator[tuple[str, Target, str]]:
    former: list[tuple[str, Target, str]] = []
    for name, value in sorted(os.environ.items()):  # noqa: TID251
        if name.upper() in known:
            former.append((name, known[name.upper()], readable(value)))
        elif name.upper().startswith(PREFIX):
            section, _, field = name[len(PREFIX) :].lower().partition(DELIMITER)
            yield name, (section, field), readable(value)
    order = {name: number for number, name in enumerate(known)}
    for name, target, value in sorted(former, key=lambda one: order[one[0].upper()]):
        if cleaned(value) and (name in known or name.upper().startswith(PREFIX)):
            yield name, target, value
