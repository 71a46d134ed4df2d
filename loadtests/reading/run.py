"""Files through the readers of this checkout, or of an older one, in a process of their own."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.bench import Report

HERE = Path(__file__).parents[2]
_SCRIPT = Path(__file__).with_name("read_files.py")
_TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class Read:
    """One file as read.

    Attributes:
        blocks: (kind, text, level), in reading order.
        notes: (code, count).
        error: "" where it was read.
    """

    seconds: float
    title: str = ""
    blocks: tuple[tuple[str, str, int], ...] = ()
    notes: tuple[tuple[str, int], ...] = ()
    error: str = ""

    @property
    def text(self) -> str:
        """All blocks, a line each."""
        return "\n".join(text for _, text, _ in self.blocks)


@dataclass(frozen=True, slots=True)
class Run:
    """All files, in their order, and the most memory that the process held."""

    files: tuple[Read, ...]
    peak_mb: float = field(default=float("nan"))

    @property
    def mean_ms(self) -> float:
        """Processor time a file."""
        return 1000 * sum(file.seconds for file in self.files) / max(1, len(self.files))

    @property
    def slowest_ms(self) -> float:
        return 1000 * max((file.seconds for file in self.files), default=0.0)


def read_all(paths: Sequence[Path], media_type: str, *, checkout: Path = HERE) -> Run:
    """Every file of `paths` as the readers in `checkout` read it, one after the other in one process."""
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), media_type],
        input="\n".join(str(path.resolve()) for path in paths),
        env=os.environ | {"PYTHONPATH": str(checkout.resolve())},
        cwd=checkout,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    *files, end = (json.loads(line) for line in done.stdout.splitlines())
    return Run(tuple(_read(file) for file in files), end["peak_mb"])


def _read(answer: dict) -> Read:  # type: ignore[type-arg]
    if "error" in answer:
        return Read(answer["seconds"], error=answer["error"])
    blocks = tuple((kind, text, level) for kind, text, level in answer["blocks"])
    return Read(answer["seconds"], answer["title"], blocks, tuple((c, n) for c, n in answer["notes"]))


def readers(args: argparse.Namespace) -> dict[str, Path]:
    """The checkouts to measure: this one, and with `--old` that one beside it."""
    return {"now": HERE} | ({"old": args.old} if args.old else {})


def cost(report: Report, title: str, runs: dict[str, Run]) -> None:
    """A table of time and memory, the readers beside each other."""
    rows = [
        (
            name,
            len(run.files),
            sum(bool(f.error) for f in run.files),
            run.mean_ms,
            run.slowest_ms,
            run.peak_mb,
        )
        for name, run in runs.items()
    ]
    report.table(f"{title}: cost", ("reader", "files", "refused", "ms a file", "slowest ms", "peak MB"), rows)
