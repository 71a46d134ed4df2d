"""What every benchmark shares: arguments, tables, the JSON file, and bars that `--check` enforces.

A benchmark is a module with `main() -> int`:

    def main(argv: Sequence[str] | None = None) -> int:
        args = arguments("What it measures.", argv)
        report = Report("bench_thing")
        report.table("Speed", ("what", "per second"), [("torch", 41.0)], key="speed")
        report.bar("passages a second", 41.0, at_least=30.0)
        return report.finish(args)
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MODELS = Path(__file__).parents[1] / "data" / "models"
"""Exported models, shared by all benchmarks: making one takes longer than some of them."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that must not fall below, or rise above, a bound."""

    name: str
    value: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether the figure keeps its bound (a NaN never does)."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.name}: {number(self.value)} (bar: {sign} {number(self.bound)})"


def arguments(
    description: str,
    argv: Sequence[str] | None = None,
    *,
    more: Callable[[argparse.ArgumentParser], object] | None = None,
) -> argparse.Namespace:
    """`--data DIR --json FILE --quick --check`, and whatever `more` adds to the parser."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=None, metavar="DIR", help="folder of the public data")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write every figure here")
    parser.add_argument("--quick", action="store_true", help="smaller sizes; within a minute")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    if more is not None:
        more(parser)
    os.environ.setdefault("LIBRI_DATA__MODELS_DIR", str(MODELS))
    return parser.parse_args(argv)


def data_file(args: argparse.Namespace, name: str) -> Path:
    """A file of `--data`; ends the program with a sentence when it is not there."""
    if args.data is None:
        sys.exit("this benchmark needs --data DIR")
    path = Path(args.data) / name
    if not path.is_file():
        sys.exit(f"{name} is not in {args.data}")
    return path


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """One object a line."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def number(value: object) -> str:
    """A figure as a reader wants it: three significant decimals under ten, none over a thousand."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def percentile(values: Sequence[float], q: float) -> float:
    """Nearest-rank percentile, `q` in [0, 100]; NaN of nothing."""
    if not values:
        return float("nan")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(q * len(ranked) / 100) - 1)]


def _console() -> Console:
    """On a terminal as wide as that is; in a file as wide as the widest table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)


@dataclass(slots=True)
class Report:
    """Figures of one benchmark: printed as they come, written at the end."""

    name: str
    console: Console = field(default_factory=_console)
    figures: dict[str, Any] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)

    def record(self, key: str, value: Any) -> None:
        """Keep `value` (anything JSON can hold) under `key`, without printing it."""
        self.figures[key] = value

    def say(self, text: str) -> None:
        """A line for the person watching."""
        self.console.print(text, markup=False)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, key: str = ""
    ) -> None:
        """Print a table and keep its rows under `key` (default: the title)."""
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(number(cell) for cell in row))
        self.console.print(table)
        self.figures[key or title] = [dict(zip(columns, row, strict=True)) for row in rows]

    def bar(
        self, name: str, value: float, *, at_least: float | None = None, at_most: float | None = None
    ) -> None:
        """A figure with its bound; exactly one of the two bounds is given."""
        if (at_least is None) == (at_most is None):
            raise ValueError("a bar has one bound")
        bound = at_least if at_least is not None else at_most
        self.bars.append(Bar(name, float(value), float(bound or 0.0), at_least is not None))

    def finish(self, args: argparse.Namespace) -> int:
        """Print the bars, write the JSON file; the exit code: 1 when `--check` and a bar is missed."""
        for bar in self.bars:
            self.say(f"{'ok    ' if bar.met else 'MISSED'} {bar}")
        if args.json is not None:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(
                json.dumps(self._document(args), indent=1, ensure_ascii=False) + "\n", "utf-8"
            )
        missed = [bar for bar in self.bars if not bar.met]
        if args.check and missed:
            self.console.print("missed: " + "; ".join(map(str, missed)), markup=False, style="bold red")
            return 1
        return 0

    def _document(self, args: argparse.Namespace) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": args.quick,
            "machine": {
                "python": platform.python_version(),
                "cpus": os.cpu_count(),
                "arch": platform.machine(),
            },
            "figures": self.figures,
            "bars": [asdict(bar) | {"met": bar.met} for bar in self.bars],
        }
