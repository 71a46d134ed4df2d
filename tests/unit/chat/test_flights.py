"""Which questions are one flight: in every process that would answer them alike, and nowhere else."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.calibration.base import Calibration
from backend.calibration.files import calibration_for
from backend.chat.base import Question, owner_of
from backend.chat.runs import Runs
from backend.config import Settings
from backend.core.types import Principal
from backend.engines.base import ModelInfo
from backend.pool.base import OfferedModel
from backend.pool.model_list import merged
from backend.wiring.read_path import retrieval_of
from tests.support.answering import Documents
from tests.support.records import READER, a_record

SERVERS = [
    [OfferedModel(ModelInfo("m", digest="sha256:abc")), OfferedModel(ModelInfo("n"))],
    [
        OfferedModel(ModelInfo("n", digest="sha256:def"), loaded=True),
        OfferedModel(ModelInfo("m", digest="new")),
    ],
    [OfferedModel(ModelInfo("m"))],
]
WHEN = Question("When?")
CALIBRATION = calibration_for("an embedder", Path("nowhere"))


class Servers:
    def __init__(self, *answers: list[OfferedModel]) -> None:
        self.answers = answers

    async def models(self) -> tuple[OfferedModel, ...]:
        return merged(self.answers)


def a_process(
    *servers: list[OfferedModel],
    versions: dict[str, str] | None = None,
    calibration: Calibration = CALIBRATION,
    embedder: str = "e5",
    model: str = "m",
    **sections: Any,
) -> Runs:
    """The use cases as a process with these settings has them, and nothing else."""
    settings = Settings(engine={"model": model, **sections.pop("engine", {})}, **sections)
    parts: dict[str, Any] = dict.fromkeys(field.name for field in fields(Runs))
    return Runs(**{
        **parts, "pool": Servers(*(servers or SERVERS)), "catalogue": Documents(versions or {}),
        "chat": settings.chat, "default_model": settings.engine.model,
        "retrieval": retrieval_of(embedder, settings, calibration),
        "context_tokens": settings.engine.context_tokens,
    })  # fmt: skip


async def flight(
    runs: Runs, *, principal: Principal = READER, question: Question = WHEN, **changes: Any
) -> str:
    record = a_record(
        principal=principal, corpora=runs._corpora(principal, question), question=question.text,
        variant=await runs._variant(question), **changes,
    )  # fmt: skip
    return await runs._key(record)


def shuffled(value: Any, chance: Random) -> Any:
    """The same, its tables written in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {name: shuffled(part, chance) for name, part in items}
    return value


@given(st.randoms(use_true_random=False))
async def test_processes_that_would_answer_alike_have_one_key_whatever_else_differs(chance: Random) -> None:
    servers = chance.sample(SERVERS, len(SERVERS))
    gate = replace(
        CALIBRATION.gate,
        **{name: shuffled(getattr(CALIBRATION.gate, name), chance) for name in ("words", "dense", "both")},
    )
    here = a_process()
    there = a_process(
        *servers,
        calibration=replace(CALIBRATION, gate=gate),
        data={"dir": f"/srv/{chance.random()}", "database_url": "postgresql://u:p@db/x"},
        server={"port": chance.randrange(1, 65536)},
        redis={"url": "redis://other:1"},
        retrieval={"concurrency": chance.randint(1, 64), "index_timeout_s": chance.uniform(0.1, 9)},
        engine={"ollama_urls": [f"http://gpu{n}:11434" for n in chance.sample(range(9), 3)]},
        chat={"max_live": chance.randint(1, 9999)},
    )
    assert await flight(here) == await flight(there)
    mates = [replace(READER, subject=name, roles=frozenset({"writer"})) for name in ("ann", "bob")]
    assert len({await flight(runs, principal=who) for runs in (here, there) for who in mates}) == 1
    assert owner_of(mates[0]) != owner_of(mates[1])
    later = await flight(there, run="another", began=9.0, deadline=99.0)
    assert later == await flight(here), "who began it, and when, is no part of it"


DIFFERENT: dict[str, dict[str, Any]] = {
    "tenant": {"principal": replace(READER, tenant="another")},
    "grant": {"principal": replace(READER, corpora=frozenset({"a", "b"}))},
    "corpora": {"question": Question("When?", corpora=("a", "b"))},
    "language": {"language": "fr"},
    "question": {"question": Question("Where?")},
    "temperature": {"question": Question("When?", temperature=0.75)},
    "length": {"question": Question("When?", max_tokens=7)},
    "thinking": {"question": Question("When?", thinking=True)},
    "model": {"question": Question("When?", model="n")},
}
OTHER_PROCESS: dict[str, dict[str, Any]] = {
    "documents": {"versions": {"default": "2", "a": "2"}},
    "embedder": {"embedder": "another"},
    "calibration": {"calibration": replace(CALIBRATION, by_meaning=CALIBRATION.by_words)},
    "passages": {"retrieval": {"limit": 3}},
    "gate": {"retrieval": {"no_answer_threshold": 0.5}},
    "context": {"engine": {"context_tokens": 4096}},
    "backend": {"engine": {"backend": "ollama"}},
    "default model": {"model": "n"},
    "longest answer": {"chat": {"max_tokens": 8}},
}


@pytest.mark.parametrize("what", DIFFERENT)
async def test_who_may_not_or_did_not_ask_the_same_has_another_key(what: str) -> None:
    everything = replace(READER, corpora=frozenset({"*", "a", "b"}))
    runs = a_process()
    changes = {"principal": everything, **DIFFERENT[what]}
    assert await flight(runs, **changes) != await flight(runs, principal=everything)


@pytest.mark.parametrize("what", OTHER_PROCESS)
async def test_a_process_that_would_answer_otherwise_has_another_key(what: str) -> None:
    assert await flight(a_process(**OTHER_PROCESS[what])) != await flight(a_process())


async def test_other_weights_under_the_same_name_are_another_model() -> None:
    first, second, _ = SERVERS
    flights = [await flight(a_process(*servers)) for servers in ([first], [second], [first, second])]
    assert len(set(flights)) == 3


async def test_a_server_that_tells_no_digest_changes_nothing() -> None:
    assert await flight(a_process(SERVERS[0])) == await flight(a_process(SERVERS[2], SERVERS[0]))
