"""Who asks what, and when: a real trace, scaled to the load that is wanted."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ollama_emulator.tokens import TEMPLATE_TOKENS, tokenise

TRACE = "azure_conv_2023"


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a trace; `at_s` counts from its beginning."""

    at_s: float
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request to send.

    Attributes:
        id: Unique in a run; the prompt begins with it.
        at_s: Seconds after the common start.
        output_tokens: How long the answer will be. The pool is not told.
    """

    id: int
    at_s: float
    prompt_tokens: int
    output_tokens: int
    model: str
    subject: str
    is_batch: bool = False

    @property
    def prompt(self) -> str:
        """Exactly `prompt_tokens` by the emulator's tokeniser, or the few more that the order takes."""
        order = f"{self.id} count to {self.output_tokens}"
        return order + " word" * (self.prompt_tokens - TEMPLATE_TOKENS - len(tokenise(order)))


def arrival_id(prompt: str) -> int | None:
    """The `Arrival.id` at the beginning of a prompt; None if it is no prompt of ours."""
    word = prompt.split(" ", 1)[0]
    return int(word) if word.isdigit() else None


def read_trace(path: Path, trace: str = TRACE) -> list[Row]:
    """The rows of one trace, in order."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            Row(float(row["t_s"]), int(row["prompt_tokens"]), int(row["output_tokens"]))
            for row in csv.DictReader(lines)
            if row["trace"] == trace
        ]


def filled(
    rows: Sequence[Row], cost_s: Callable[[Row], float], load: float, seconds: float, *, skip: int = 0
) -> list[Row]:
    """Consecutive rows after `skip` that are `load` of what can be served in `seconds`, spread over them.

    The gaps are the trace's own, all stretched by one factor; so lengths, bursts and their order are real.

    Args:
        rows: A whole trace.
        cost_s: How long one row takes everything that serves.
        load: Share of what could be served; may be above 1.
        seconds: Over which the rows are spread.
        skip: Rows left out at the beginning.

    Raises:
        ValueError: The trace is too short.
    """
    taken: list[Row] = []
    work_s = 0.0
    for row in rows[skip:]:
        if work_s >= load * seconds:
            begin, span = taken[0].at_s, row.at_s - taken[0].at_s
            return [replace(r, at_s=(r.at_s - begin) * seconds / span) for r in taken]
        taken.append(row)
        work_s += cost_s(row)
    raise ValueError("the trace is too short for this load")


def memoryless(rows: Sequence[Row], seconds: float, rng: random.Random) -> list[Row]:
    """The same rows at the times of a Poisson process of their mean rate, over the same `seconds`."""
    times = sorted(rng.uniform(0.0, seconds) for _ in rows)
    return [replace(row, at_s=at_s) for row, at_s in zip(rows, times, strict=True)]


def asked(
    rows: Sequence[Row], rng: random.Random, *, models: Sequence[str], subjects: int = 40
) -> list[Arrival]:
    """Rows as requests of so many equal subjects, for models drawn evenly."""
    return [
        Arrival(
            number,
            row.at_s,
            row.prompt_tokens,
            row.output_tokens,
            rng.choice(models),
            f"reader-{rng.randrange(subjects)}",
        )
        for number, row in enumerate(rows, start=1)
    ]


def all_at_once(rows: Sequence[Row], model: str, *, subjects: int, each: int) -> list[Arrival]:
    """So many equal subjects that each send so many requests at the same moment, in alternating order."""
    return [
        Arrival(number, 0.0, row.prompt_tokens, row.output_tokens, model, f"equal-{number % subjects}")
        for number, row in enumerate(rows[: subjects * each], start=1)
    ]


def one_greedy(
    rows: Sequence[Row], model: str, *, at_once: int, others: int, every_s: float, seconds: float
) -> list[Arrival]:
    """One subject sends `at_once` requests at the start, `others` one each `every_s`, out of step.

    Only the lengths of `rows` are used, in their order.
    """
    lengths = iter(rows)
    times = [(0.0, "greedy")] * at_once
    for other in range(others):
        first_s = every_s * (other + 1) / others
        count = int((seconds - first_s) / every_s) + 1
        times += [(first_s + every_s * k, f"modest-{other}") for k in range(count)]
    return [
        Arrival(number, at_s, row.prompt_tokens, row.output_tokens, model, subject)
        for number, ((at_s, subject), row) in enumerate(zip(sorted(times), lengths, strict=False), start=1)
    ]
