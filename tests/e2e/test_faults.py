"""Every fault of a model server as a reader sees it; the table in docs/operations.md is this one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backend.config import Settings
from tests.support.emulator import Emulator, emulator
from tests.support.live_app import HOURS, Event, LiveApp, live_app, settings_in, text_of

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
ANSWER = "The library opens at nine [1] and closes at six in the evening [1]."
MODEL = "llama3.1:8b"
CONTEXT_TOKENS = Settings().engine.context_tokens
FIRST_TOKEN_S, GAP_S = 2.0, 1.5
SLACK_S = 20.0

NOTHING = "nothing: the answer"
LATE = "the answer, later"
WHOLE = "the whole answer"
SO_FAR = "the words so far"
LOADING = ("load_fail", "oom_load", "slow_load")
"""Nobody is sent to an instance that would have to load the model while another holds it."""
QUOTED = 'quoted sentences, `degraded: ["model"]`'


def broken(code: str) -> str:
    return f"{SO_FAR}, then `error` `{code}`"


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, what the reader sees, and what bounds the time until then."""

    kind: str
    seen: str
    bound: str = "at once"
    params: tuple[tuple[str, Any], ...] = ()
    label: str = ""

    @property
    def moves(self) -> bool:
        """Another instance is tried, or goes on."""
        return self.kind not in LOADING and (self.seen == QUOTED or self.seen.startswith(SO_FAR))

    @property
    def name(self) -> str:
        return self.label or f"`{self.kind}`"

    @property
    def row(self) -> str:
        second = WHOLE if self.moves else "not tested" if self.kind in LOADING else "the same"
        return f"| {self.name} | {self.seen} | {second} | {self.bound} | yes |"


NO_MODEL = '{"error":"model \'m\' not found"}'
MID = (("k", 3),)
CASES = (
    Case("refuse", QUOTED),
    Case("accept_then_hang", QUOTED, "`first_token_timeout_s`"),
    Case("slow_accept", LATE, "its delay", (("s", 0.3),)),
    Case("reset_before_headers", QUOTED),
    Case("status", QUOTED, params=(("code", 500), ("body", '{"error":"x"}')), label="`status` 500"),
    Case("status", QUOTED, params=(("code", 502), ("body", "<html>")), label="`status` 502, HTML"),
    Case("status", QUOTED, params=(("code", 503), ("body", "")), label="`status` 503, empty"),
    Case("status", QUOTED, params=(("code", 429), ("body", "{}")), label="`status` 429"),
    Case("status", QUOTED, params=(("code", 404), ("body", NO_MODEL)), label="`status` 404 (no such model)"),
    Case("status", "`error` `engine_rejected`", params=(("code", 400), ("body", "{}")), label="`status` 400"),
    Case("error_mid", broken("engine_error"), params=MID),
    Case("eof_mid", broken("engine_truncated"), params=MID),
    Case("reset_mid", broken("engine_truncated"), params=MID),
    Case("truncate_line", broken("engine_truncated"), params=MID),
    Case("garbage_line", broken("engine_error"), params=MID),
    Case("blank_line", NOTHING, params=MID),
    Case("freeze", broken("engine_timeout"), "`inter_token_timeout_s`", MID),
    Case("oom_runtime", broken("engine_error"), params=MID),
    Case("load_fail", QUOTED),
    Case("oom_load", QUOTED),
    Case("slow_load", LATE, "the load", (("factor", 2),)),
    Case("stuck_runner", QUOTED, "`first_token_timeout_s`"),
    Case("gpu_lost", LATE, "the CPU's speed"),
    Case("throttle", LATE, "its factor", (("factor", 2),)),
    Case("jitter", NOTHING, params=(("s", 0.001),)),
    Case("clock_skew", NOTHING, params=(("s", 3600),)),
    Case("drop_done_metrics", "nothing: the answer, without counts"),
    Case("ps_stall", NOTHING, params=(("s", 5),)),
    Case("version_change", NOTHING, params=(("version", "9.9.9"),)),
)


def engine_settings(*servers: Emulator) -> dict[str, Any]:
    return {
        "backend": "ollama", "ollama_urls": [one.url for one in servers], "model": MODEL, "slots": 2,
        "first_token_timeout_s": FIRST_TOKEN_S, "inter_token_timeout_s": GAP_S, "breaker_open_s": 0.001,
    }  # fmt: skip


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with emulator(time_scale=0.001, num_parallel=2, reply=ANSWER) as running:
        yield running


@pytest.fixture
async def app(server: Emulator, tmp_path: Path, models_dir: Path) -> AsyncIterator[LiveApp]:
    engine = engine_settings(server)
    async with live_app(settings_in(tmp_path / "data", models_dir, engine=engine), instances=None) as live:
        await live.put(HOURS)
        yield live


async def well_again(app: LiveApp, *, holding: bool = False) -> None:
    """A probe has found each instance well, and a model that failed to load may be tried again.

    With `holding`, each has the model in memory: one that would have to load it first is not asked.
    """
    async with asyncio.timeout(60):
        while True:
            all_of_them = (await app.services.pool.status()).instances
            may = [one.ready if holding else (*one.ready, *one.cold) for one in all_of_them]
            if all(one.health == "closed" for one in all_of_them) and all(MODEL in names for names in may):
                return
            await asyncio.sleep(0.05)


def seen(happened: list[Event], case: Case) -> str:
    """What the reader saw, in the words of the table."""
    end, text = happened[-1], text_of(happened)
    if end.name == "error":
        code = end.data["code"]
        return broken(code) if text else f"`error` `{code}`"
    if end.data["degraded"] == ["model"]:
        assert "opens at nine" in text
        return QUOTED
    assert text == ANSWER
    if end.data["usage"]["completion_tokens"] is None:
        return "nothing: the answer, without counts"
    return case.seen if case.seen in (NOTHING, LATE) else NOTHING


async def test_what_a_reader_sees_of_each_fault_and_that_the_slot_is_freed(
    app: LiveApp, server: Emulator
) -> None:
    for number, case in enumerate(CASES):
        if case.kind in LOADING:
            await server.reset()
        await server.fault(case.kind, **dict(case.params))
        began = time.monotonic()
        happened = await app.ask(f"When does the library open in the morning, question {number}?")
        took_s = time.monotonic() - began
        assert seen(happened, case) == case.seen, case.name
        assert [event.name for event in happened].count("done") + [e.name for e in happened].count(
            "error"
        ) == 1
        assert took_s < FIRST_TOKEN_S + GAP_S + SLACK_S, case.name
        await server.clear()
        await server.until(lambda state: not any(s["busy"] for r in state["loaded"] for s in r["slots"]))
        assert all(one.in_flight == 0 for one in (await app.services.pool.status()).instances), case.name
        await server.reset()
        await well_again(app)


async def test_with_a_second_instance_the_reader_sees_the_whole_answer(
    tmp_path: Path, models_dir: Path
) -> None:
    knobs = {"time_scale": 0.001, "num_parallel": 2, "reply": ANSWER}
    async with emulator(**knobs) as bad, emulator(**knobs) as good:
        engine = engine_settings(bad, good)
        await good.load(MODEL, num_ctx=CONTEXT_TOKENS)
        async with live_app(settings_in(tmp_path / "data", models_dir, engine=engine), instances=None) as app:
            await app.put(HOURS)
            for case in filter(lambda case: case.moves, CASES):
                await bad.load(MODEL, num_ctx=CONTEXT_TOKENS)
                await sees_the_whole_answer(app, bad, case)


async def sees_the_whole_answer(app: LiveApp, bad: Emulator, case: Case) -> None:
    """Whichever instance the pool chooses; asked until the bad one was, and another had to take over.

    The pool's own look at an instance may meet the fault before any reader does; then nobody is sent there.
    So each question finds both instances well, with the fault just switched on.
    """
    before = await retries(app)
    for number in range(50):
        await well_again(app, holding=True)
        await bad.fault(case.kind, **dict(case.params))
        happened = await app.ask(
            f"When does the library open in the morning, number {number} of {case.name}?"
        )
        await bad.clear()
        assert happened[-1].name == "done", case.name
        assert not happened[-1].data["degraded"], case.name
        assert text_of(happened) == ANSWER, case.name
        if await retries(app) > before:
            return
    pytest.fail(f"the bad instance was never asked: {case.name}")


async def retries(app: LiveApp) -> float:
    """Attempts after the first, of all requests."""
    lines = (await app.client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("libri_retries_total{"))


def test_the_table_in_the_docs_is_this_one() -> None:
    table = "\n".join(case.row for case in CASES)
    assert table in DOCS.read_text()
