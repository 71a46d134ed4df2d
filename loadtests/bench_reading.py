"""What becomes of a document when it is read: text, structure, hidden text, encodings, time and memory.

`python -m loadtests.bench_reading [--parts html,pdf] [--gold DIR] [--old DIR] [--check] [--json FILE]`.
Without DIR the pages are made here; `--gold` is a folder of public sets that may not be shipped, `--old` a
checkout of this repository whose readers are measured beside ours.
"""

from __future__ import annotations

import argparse
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from loadtests import reading
from loadtests.bench import Report, arguments

_PREFIX = "part_"


def parts() -> dict[str, ModuleType]:
    """Every module `loadtests.reading.part_NAME`, by NAME."""
    names = [module.name for module in pkgutil.iter_modules(reading.__path__)]
    return {
        name.removeprefix(_PREFIX): import_module(f"{reading.__name__}.{name}")
        for name in names
        if name.startswith(_PREFIX)
    }


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", default="", metavar="NAMES", help="these alone, with commas between them")
    parser.add_argument("--gold", type=Path, default=None, metavar="DIR", help="folder of the public sets")
    parser.add_argument("--old", type=Path, default=None, metavar="DIR", help="an older checkout, to compare")
    for part in parts().values():
        if hasattr(part, "options"):
            part.options(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, and judge."""
    args = arguments(__doc__ or "", argv, more=_options)
    report = Report("bench_reading")
    found = parts()
    wanted = [name for name in args.parts.split(",") if name] or sorted(found)
    if unknown := set(wanted) - set(found):
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(sorted(found))}")
    for name in wanted:
        found[name].measure(args, report)
    return report.finish(args)


if __name__ == "__main__":
    sys.exit(main())
