"""The write path of replicas: one dense index for all, a lexical one for each host."""

from __future__ import annotations

import asyncio

import pytest

from backend.corpus.base import CorpusRef
from backend.ingest.derive import LOOK_AT_SHARED_EVERY_S
from backend.ingest.follow import Follower
from tests.support.databases import empty_database, sqlite_url
from tests.support.manual_clock import ManualClock
from tests.support.write_path import Fuse, Killed, WritePath, write_path

BOOKS = CorpusRef("acme", "books")
FIRST = {f"d{n}": "\n\n".join(f"Document {n}, paragraph {p}." for p in range(n % 3 + 1)) for n in range(4)}
THEN = {"d1": "changed", "d2": "BROKEN", "d4": "new\n\nand long"}


@pytest.fixture
async def engine(tmp_path):
    async with empty_database(sqlite_url(tmp_path)) as engine:
        yield engine


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def hosts(engine, clock):
    one = write_path(engine, clock, shared=True)
    return one, write_path(engine, clock, like=one, shared=True)


async def caught_up(host: WritePath) -> list[str]:
    """What a host's lexical index holds once it has followed."""
    while await host.follower.catch_up():
        pass
    return sorted(passage.text for passage in host.lexical.of(BOOKS).values())


async def test_every_host_follows_what_one_has_read(hosts, clock):
    one, two = hosts
    await one.put(BOOKS, a="old", b="stays")
    assert [await caught_up(host) for host in hosts] == [["old", "stays"]] * 2
    await two.put(BOOKS, a="new")
    assert {"new", "stays"} <= set(await caught_up(one))
    clock.advance(31)
    await two.ingestion.worker.tick()
    assert [await caught_up(host) for host in hosts] == [["new", "stays"]] * 2
    (document,) = [d for d in await one.catalogue.documents(BOOKS) if d.name == "b.md"]
    await one.ingestion.delete(BOOKS, document.id)
    assert [await caught_up(host) for host in hosts] == [["new"]] * 2
    assert [p.text for p in one.dense.of(BOOKS).values()] == ["new"]
    one.lexical.lose()
    clock.advance(LOOK_AT_SHARED_EVERY_S)
    assert [await caught_up(host) for host in hosts] == [["new"]] * 2


async def test_a_host_that_begins_with_nothing_catches_up_without_the_files(hosts, engine, clock):
    one, _ = hosts
    await one.put(BOOKS, **FIRST)
    late = write_path(engine, clock, like=one, shared=True)
    assert await caught_up(late) == await caught_up(one)
    assert (late.reader.reads, late.embedder.calls) == ([], [])


async def test_the_dense_index_of_a_new_corpus_says_that_it_is_whole_before_anything_is_live(hosts):
    one, _ = hosts
    held = []
    flip = one.catalogue.flip

    async def look_then_flip(*args, **options):
        held.append(await one.dense.held(BOOKS))
        return await flip(*args, **options)

    one.catalogue.flip = look_then_flip
    await one.put(BOOKS, **FIRST)
    assert held
    assert all(held)


async def test_what_the_shared_index_says_that_it_holds_costs_the_others_no_lease(hosts):
    one, two = hosts
    await one.put(BOOKS, **FIRST)
    counted = []
    two.dense.count = counted.append
    await two.ingestion.worker.tick()
    assert counted == []


async def test_a_shared_index_that_comes_back_empty_is_made_again_by_one(hosts, clock):
    one, two = hosts
    await one.put(BOOKS, **FIRST)
    whole = one.dense.of(BOOKS)
    await two.ingestion.worker.tick()
    one.dense.lose()
    clock.advance(LOOK_AT_SHARED_EVERY_S)
    while one.dense.of(BOOKS) != whole or not await one.dense.held(BOOKS):
        await asyncio.gather(*(host.ingestion.worker.tick() for host in hosts))
    assert two.reader.reads == []
    embedded = sum(two.embedder.calls) + sum(one.embedder.calls)
    assert embedded == 2 * len(whole), "once when they were read, once when they were lost"


async def test_a_process_killed_at_any_step_leaves_work_that_another_host_finishes(hosts, engine, clock):
    path, _ = hosts
    calm = await _calm(path, CorpusRef("acme", "calm"), clock)
    step, died = 1, True
    while died:
        corpus, died = CorpusRef("acme", f"killed-{step}"), False
        await path.put(corpus, **FIRST)
        fuse = Fuse(10_000)
        mortal = write_path(engine, clock, like=path, fuse=fuse, shared=True)
        await mortal.ingestion.worker.tick()
        status = await path.ingestion.submit(corpus, [(f"{n}.md", t.encode()) for n, t in THEN.items()])
        fuse.left = step
        try:
            await mortal.ingestion.worker.tick()
        except Killed:
            died = True
        for _ in range(2):
            clock.advance(31)
            await path.ingestion.worker.tick()
        assert (await path.ingestion.status("acme", status.id)).ended
        await caught_up(path)
        assert _shape(await path.contents(corpus)) == calm
        step += 11
    assert step > 40


async def _calm(path, corpus, clock):
    """What an undisturbed run of both leaves."""
    await path.put(corpus, **FIRST)
    await path.put(corpus, **THEN)
    clock.advance(31)
    await path.ingestion.worker.tick()
    await caught_up(path)
    return _shape(await path.contents(corpus))


def _shape(contents):
    """Contents without the ids, which hold the corpus's name."""
    rows, texts, dense, lexical = contents
    held = [sorted((p.name, p.text, p.start) for p in index.values()) for index in (dense, lexical)]
    return [(row[1], *row[4:]) for row in rows], [text for text, _ in texts], held


async def test_one_process_of_a_host_follows_and_another_goes_on_when_it_ends(hosts, tmp_path, clock):
    one, _ = hosts
    keep = [Follower(tmp_path / "lexical", one.follower.derivation, clock) for _ in range(2)]
    await one.put(BOOKS, a="first")
    tasks = [asyncio.ensure_future(follower.run()) for follower in keep]

    async def until(texts):
        async with asyncio.timeout(20):
            while sorted(p.text for p in one.lexical.of(BOOKS).values()) != texts:
                await asyncio.sleep(0.02)

    await until(["first"])
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    await one.put(BOOKS, b="then")
    await until(["first", "then"])
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
