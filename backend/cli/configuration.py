"""`libriassist config`: the settings in force, or their documentation."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import orjson

from backend.config import KNOWN_NAMES, Section, Settings


def run(settings: Settings, options: Namespace) -> int:
    """The settings, or their documentation."""
    return document() if options.markdown else show(settings)


def show(settings: Settings) -> int:
    """Print the settings in force as JSON; secrets are masked."""
    body = orjson.dumps(settings.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
    sys.stdout.write(body.decode() + "\n")
    return 0


def document() -> int:
    """Print `docs/configuration.md`."""
    sys.stdout.write("\n".join(_lines()) + "\n")
    return 0


def _lines() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield "Generated from `backend/config.py` by `libriassist config --markdown`; do not edit."
    yield "Lists are comma-separated or JSON. The other name, where there is one, is accepted too;"
    yield "`LIBRI_…` wins. Wrong values and unknown `LIBRI_<SECTION>__` fields stop the start with a message."
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            yield from _section(name, section)


def _section(name: str, section: type[Section]) -> Iterator[str]:
    yield ""
    yield f"## {name}"
    yield ""
    yield (section.__doc__ or "").strip()
    yield ""
    yield "| variable | other name | default | meaning |"
    yield "|---|---|---|---|"
    for field_name, field in section.model_fields.items():
        variable = f"LIBRI_{name}__{field_name}".upper()
        known = [variable for variable, target in KNOWN_NAMES.items() if target == (name, field_name)]
        other = ", ".join(f"`{one}`" for one in known)
        shown = f"`{_default(field.default)}`" if _default(field.default) else ""
        yield f"| `{variable}` | {other} | {shown} | {field.description} |"


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None or str(value) == "" else str(value)
