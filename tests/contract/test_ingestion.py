"""The write path on SQLite and PostgreSQL, its reader, embedder and indexes faked."""

from __future__ import annotations

import asyncio
import random
from hashlib import sha256

import pytest
from sqlalchemy import delete, func, select

from backend.core.errors import (
    EmbedderUnavailable,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    RetrievalUnavailable,
    StorageFull,
)
from backend.corpus.base import CorpusRef
from backend.corpus.tables import passages
from backend.ingest.leases import SqlLeases
from backend.ingest.service import Bounds
from backend.ingest.tables import ingestions
from backend.ingest.worker import Pace
from tests.support.databases import empty_database, postgres_url, sqlite_url
from tests.support.manual_clock import ManualClock
from tests.support.write_path import Fuse, Killed, write_path

__all__ = ["postgres_url"]

BOOKS = CorpusRef("acme", "books")
TEXTS = {f"d{n}": "\n\n".join(f"Document {n}, paragraph {p}." for p in range(n % 4 + 1)) for n in range(7)}


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    return sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
async def engine(url):
    async with empty_database(url) as engine:
        yield engine


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def path(engine, clock):
    return write_path(engine, clock)


async def test_documents_become_live_in_both_indexes(path):
    status = await path.put(BOOKS, **TEXTS)
    documents = await path.catalogue.documents(BOOKS)
    live = (await path.catalogue.live(BOOKS)).revisions
    assert (status.state, status.finished, status.total) == ("done", 7, 7)
    assert {d.revision for d in documents} == live == {p.revision for p in path.dense.of(BOOKS).values()}
    assert path.dense.of(BOOKS) == path.lexical.of(BOOKS)
    assert sum(d.passages for d in documents) == len(path.dense.of(BOOKS))


async def test_offsets_point_into_the_kept_text(path):
    await path.put(BOOKS, a="one\n\ntwo\n\nthree")
    for passage in path.dense.of(BOOKS).values():
        text, revision = await path.catalogue.text(BOOKS, passage.document)
        assert (text[passage.start : passage.end], revision) == (passage.text, passage.revision)


async def test_the_same_file_again_costs_nothing(path):
    first = await path.put(BOOKS, **TEXTS)
    before, version = await path.contents(BOOKS), (await path.catalogue.live(BOOKS)).version
    reads, calls = len(path.reader.reads), len(path.embedder.calls)
    second = await path.put(BOOKS, **TEXTS)
    assert {item.state for item in second.items} == {"unchanged"}
    assert [i.document for i in second.items] == [i.document for i in first.items]
    assert (len(path.reader.reads), len(path.embedder.calls)) == (reads, calls)
    assert await path.contents(BOOKS) == before
    assert (await path.catalogue.live(BOOKS)).version == version


async def test_a_changed_file_replaces_its_passages(path, clock):
    await path.put(BOOKS, a="old one\n\nold two", b="stays")
    await path.put(BOOKS, a="new")
    clock.advance(10)
    await path.ingestion.worker.tick()
    assert sorted(p.text for p in path.dense.of(BOOKS).values()) == ["new", "stays"]
    assert path.dense.of(BOOKS) == path.lexical.of(BOOKS)


async def test_a_file_that_changes_back_is_whole_again(path, clock):
    for text in ("one", "two", "one"):
        await path.put(BOOKS, a=text)
    clock.advance(10)
    await path.ingestion.worker.tick()
    assert [p.text for p in path.dense.of(BOOKS).values()] == ["one"]
    assert {p.revision for p in path.dense.of(BOOKS).values()} == (await path.catalogue.live(BOOKS)).revisions


async def test_the_last_one_sent_wins_within_one_ingestion(path):
    files = [("a.md", b"one"), ("a.md", b"two"), ("b.md", b"b"), ("a.md", b"one")]
    status = await path.ingestion.submit(BOOKS, files)
    status = await path.ingestion.run_to_end("acme", status.id)
    assert [item.state for item in status.items] == ["done"] * 4
    (document, _) = await path.catalogue.by_name(BOOKS, "a.md")
    assert (await path.catalogue.text(BOOKS, document.id))[0] == "one"


async def test_what_waits_is_not_mistaken_for_unchanged(path):
    await path.put(BOOKS, a="one")
    await path.ingestion.submit(BOOKS, [("a.md", b"two")])
    await path.put(BOOKS, a="one")
    (document, _) = await path.catalogue.by_name(BOOKS, "a.md")
    assert (await path.catalogue.text(BOOKS, document.id))[0] == "one"


async def test_an_unreadable_file_is_reported_and_the_others_go_on(path):
    status = await path.put(BOOKS, good="fine", bad="BROKEN", odd="BUG", best="fine too")
    assert [(i.name, i.state, i.reason) for i in status.items] == [
        ("good.md", "done", ""),
        ("bad.md", "failed", "it is damaged"),
        ("odd.md", "failed", "the document could not be read"),
        ("best.md", "done", ""),
    ]
    assert status.state == "done"


async def test_an_ingestion_of_which_nothing_could_be_read_has_failed(path):
    assert (await path.put(BOOKS, bad="BROKEN")).state == "failed"
    status = await path.ingestion.submit(BOOKS, [("photo.md", b"\x89PNG\r\n"), ("x.exe", b"MZ")])
    assert (status.state, [i.state for i in status.items]) == ("failed", ["failed", "failed"])


async def test_one_document_that_an_index_refuses_does_not_hold_back_the_others(path, clock):
    status = await path.put(BOOKS, a="one", b="two\n\nPOISON", c="three")
    clock.advance(10)
    await path.ingestion.worker.tick()
    assert [item.state for item in status.items] == ["done", "failed", "done"]
    assert sorted(p.text for p in path.dense.of(BOOKS).values()) == ["one", "three"]


@pytest.mark.parametrize("name", ["../a.md", "a\0.md", "x" * 300 + ".md", ""])
async def test_a_name_that_cannot_be_kept_is_refused_and_nothing_queued(path, name):
    with pytest.raises(InvalidRequest):
        await path.ingestion.submit(BOOKS, [("good.md", b"good"), (name, b"text")])
    assert (await path.jobs.backlog("acme")).items == 0


async def test_what_waits_is_bounded_for_each_tenant(engine, clock):
    path = write_path(engine, clock, bounds=Bounds(items=2, size_bytes=10))
    await path.ingestion.submit(BOOKS, [("a.md", b"12345"), ("b.md", b"1234")])
    with pytest.raises(QuotaExceeded):
        await path.ingestion.submit(BOOKS, [("c.md", b"1")])
    await path.ingestion.submit(CorpusRef("rival", "books"), [("c.md", b"1")])
    with pytest.raises(QuotaExceeded):
        await path.ingestion.submit(CorpusRef("rival", "books"), [("d.md", b"1234567890")])


async def test_another_tenant_does_not_see_an_ingestion(path):
    status = await path.ingestion.submit(BOOKS, [("a.md", b"text")])
    with pytest.raises(NotFound):
        await path.ingestion.status("rival", status.id)


async def test_two_tenants_keep_the_same_file_apart(path, clock):
    rival = CorpusRef("rival", "books")
    await path.put(BOOKS, a="same")
    await path.put(rival, a="same")
    (document,) = await path.catalogue.documents(BOOKS)
    await path.ingestion.delete(BOOKS, document.id)
    assert path.dense.of(BOOKS) == {}
    assert len(path.dense.of(rival)) == 1
    assert await path.jobs.blob("rival", document.content_sha256) == b"same"
    assert await path.jobs.blob("acme", document.content_sha256) is None


async def test_a_deleted_document_disappears_everywhere(path):
    await path.put(BOOKS, a="one", b="two")
    document, _ = await path.catalogue.by_name(BOOKS, "a.md")
    await path.ingestion.delete(BOOKS, document.id)
    assert [p.text for p in path.dense.of(BOOKS).values()] == ["two"]
    assert path.dense.of(BOOKS) == path.lexical.of(BOOKS)
    with pytest.raises(NotFound):
        await path.ingestion.delete(BOOKS, document.id)


async def test_what_waits_under_a_deleted_name_is_withdrawn(path):
    await path.put(BOOKS, a="one")
    (document,) = await path.catalogue.documents(BOOKS)
    status = await path.ingestion.submit(BOOKS, [("a.md", b"two"), ("b.md", b"b")])
    await path.ingestion.delete(BOOKS, document.id)
    status = await path.ingestion.run_to_end("acme", status.id)
    assert [i.state for i in status.items] == ["failed", "done"]
    assert [d.name for d in await path.catalogue.documents(BOOKS)] == ["b.md"]


async def test_bytes_that_nothing_refers_to_are_swept(path):
    await path.put(BOOKS, a="one", b="BROKEN")
    await path.put(BOOKS, a="two")
    await path.jobs.sweep(ended_before=0)
    kept = [await path.jobs.blob("acme", sha256(data).hexdigest()) for data in (b"one", b"BROKEN", b"two")]
    assert kept == [None, None, b"two"]


async def test_any_number_of_ingestions_is_swept_at_once(path, engine, clock):
    columns = {"tenant": "acme", "corpus": "books", "reason": "", "force": False, "created": 0.0}
    times = {"updated": 0.0, "open_until": 0.0, "not_before": 0.0}
    rows = [{"id": f"{state}-{n}", "state": state} for n in range(40_000) for state in ("queued", "done")]
    async with engine.begin() as sql:
        await sql.execute(ingestions.insert(), [columns | times | row for row in rows])
    await path.jobs.sweep(ended_before=clock.now())
    async with engine.begin() as sql:
        assert await sql.scalar(select(func.count()).select_from(ingestions)) == 40_000
    assert (await path.jobs.status("acme", "queued-0")).state == "done"


async def test_a_deletion_while_another_worker_writes_is_finished_later(path, engine, clock):
    await path.put(BOOKS, a="one")
    (document,) = await path.catalogue.documents(BOOKS)
    leases = SqlLeases(engine, clock)
    assert await leases.take(BOOKS, "other", 30)
    await path.ingestion.delete(BOOKS, document.id)
    assert (await path.catalogue.live(BOOKS)).revisions == frozenset()
    assert len(path.dense.of(BOOKS)) == 1
    await leases.release(BOOKS, "other")
    await path.ingestion.worker.tick()
    assert path.dense.of(BOOKS) == {}


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("dense", StorageFull("disk")),
        ("lexical", RetrievalUnavailable("down")),
        ("embedder", EmbedderUnavailable("down")),
    ],
)
async def test_when_something_is_down_the_work_waits_and_goes_on_later(path, clock, where, error):
    getattr(path, where).fail = [error]
    status = await path.ingestion.submit(BOOKS, [(f"{n}.md", t.encode()) for n, t in TEXTS.items()])
    await path.ingestion.worker.tick()
    waits = await path.ingestion.status("acme", status.id)
    assert (waits.state, waits.reason) == ("queued", error.code)
    await path.ingestion.worker.tick()
    assert (await path.ingestion.status("acme", status.id)).state == "queued"
    clock.advance(60)
    await path.ingestion.worker.tick()
    done = await path.ingestion.status("acme", status.id)
    assert (done.state, done.reason, {i.state for i in done.items}) == ("done", "", {"done"})


async def test_work_waits_no_longer_than_what_is_down_says_however_often_it_was_tried(path, clock):
    status = await path.ingestion.submit(BOOKS, [("a.md", b"text")])
    for _ in range(6):
        path.embedder.fail = [EmbedderUnavailable("away", retry_after_s=1)]
        await path.ingestion.worker.tick()
        assert (await path.ingestion.status("acme", status.id)).state == "queued"
        clock.advance(5)
    await path.ingestion.worker.tick()
    assert (await path.ingestion.status("acme", status.id)).state == "done"


async def test_a_full_disk_is_said_to_who_watches_and_to_who_sends_more(path, clock):
    path.dense.fail = [StorageFull("disk")]
    with pytest.raises(StorageFull):
        await path.put(BOOKS, a="one")
    with pytest.raises(StorageFull):
        await path.ingestion.submit(BOOKS, [("b.md", b"two")])
    clock.advance(60)
    await path.ingestion.worker.tick()
    assert (await path.put(BOOKS, b="two")).state == "done"
    assert len(path.dense.of(BOOKS)) == 2


async def test_a_lapsed_lease_is_taken_over_by_another_worker(path, engine, clock):
    other = write_path(engine, clock, like=path)
    status = await path.ingestion.submit(BOOKS, [("a.md", b"text")])
    assert await SqlLeases(engine, clock).take(BOOKS, "a process that died", 30)
    assert not await other.ingestion.worker.work(BOOKS)
    clock.advance(30)
    assert await other.ingestion.worker.work(BOOKS)
    assert (await path.ingestion.status("acme", status.id)).state == "done"


async def test_a_worker_cancelled_while_it_gives_its_lease_back_still_does(path, engine, clock):
    """Whoever waits for an ingestion lets go of the worker once the last item is done."""
    leases, releasing = SqlLeases(engine, clock), asyncio.Event()

    async def release(corpus, owner):
        releasing.set()
        await asyncio.sleep(0)
        await leases.release(corpus, owner)

    path.ingestion.worker.leases = LeasesThat(leases, release)
    await path.ingestion.submit(BOOKS, [("a.md", b"text")])
    task = asyncio.ensure_future(path.ingestion.worker.work(BOOKS))
    await releasing.wait()
    task.cancel()
    await asyncio.wait([task])
    assert await leases.take(BOOKS, "other", 30)


class LeasesThat:
    """Leases whose `release` is another."""

    def __init__(self, leases, release) -> None:
        self.take, self.renew, self.release = leases.take, leases.renew, release


async def test_a_process_that_is_alone_does_not_wait_for_the_dead(engine, clock):
    assert await SqlLeases(engine, clock).take(BOOKS, "a process that died", 30)
    leases = SqlLeases(engine, clock, alone=True)
    assert await leases.take(BOOKS, "one", 30)
    assert not await leases.take(BOOKS, "two", 30)
    await leases.release(BOOKS, "one")
    assert await leases.take(BOOKS, "two", 30)


async def test_a_worker_that_was_overtaken_changes_nothing(path, engine, clock):
    """A stopped process wakes up after another has done its work, and newer work."""
    quick = write_path(engine, clock, like=path)
    await path.ingestion.submit(BOOKS, [("a.md", b"old")])
    reached, go_on = asyncio.Event(), asyncio.Event()
    write = path.lexical.add

    async def pause(corpus, passages):
        reached.set()
        await go_on.wait()
        await write(corpus, passages)

    path.lexical = DictLexicalThat(path.lexical, pause)
    object.__setattr__(path.ingestion.worker.pipeline.publisher, "lexical", path.lexical)
    async with asyncio.TaskGroup() as group:
        group.create_task(path.ingestion.worker.work(BOOKS))
        await reached.wait()
        clock.advance(31)
        await quick.ingestion.submit(BOOKS, [("a.md", b"new")])
        await quick.ingestion.worker.tick()
        go_on.set()
    document, _ = await quick.catalogue.by_name(BOOKS, "a.md")
    assert (await quick.catalogue.text(BOOKS, document.id))[0] == "new"


class DictLexicalThat:
    """An index whose `add` is another."""

    def __init__(self, index, add) -> None:
        self.add, self.remove, self.count, self.of = add, index.remove, index.count, index.of


async def test_documents_of_another_embedder_are_made_anew(path, engine, clock):
    await path.put(BOOKS, a="one", b="two")
    newer = write_path(engine, clock, like=path, made_by="newer")
    ingestion = await newer.ingestion.reingest(BOOKS)
    status = await newer.ingestion.run_to_end("acme", ingestion)
    assert [i.state for i in status.items] == ["done", "done"]
    assert await newer.ingestion.reingest(BOOKS) is None
    clock.advance(10)
    await newer.ingestion.worker.tick()
    assert len(path.dense.of(BOOKS)) == 2


async def test_lost_indexes_are_rebuilt_from_what_is_kept(path):
    await path.put(BOOKS, **TEXTS)
    before = await path.contents(BOOKS)
    path.dense.lose()
    path.lexical.lose()
    await path.ingestion.run_to_end("acme", await path.ingestion.reingest(BOOKS, everything=True))
    assert await path.contents(BOOKS) == before


async def test_a_lost_index_is_made_from_sql_without_the_files(path, engine, clock):
    await path.put(BOOKS, **TEXTS)
    before, version = await path.contents(BOOKS), (await path.catalogue.live(BOOKS)).version
    for lost in (path.dense, path.lexical):
        lost.lose()
        restarted = write_path(engine, clock, like=path)
        await restarted.ingestion.worker.tick()
        assert await restarted.contents(BOOKS) == before
        assert await lost.held(BOOKS) == version
        assert restarted.reader.reads == []


async def test_an_index_that_is_lost_while_the_process_runs_is_made_again(path, clock):
    await path.put(BOOKS, **TEXTS)
    before = await path.contents(BOOKS)
    path.dense.lose()
    path.lexical.lose()
    clock.advance(60)
    await path.ingestion.worker.tick()
    assert await path.contents(BOOKS) == before


@pytest.mark.parametrize(("down", "up"), [("dense", "lexical"), ("lexical", "dense")])
async def test_an_index_that_is_down_does_not_hold_up_the_other(path, engine, clock, down, up):
    await path.put(BOOKS, **TEXTS)
    version = (await path.catalogue.live(BOOKS)).version
    other = write_path(engine, clock)
    getattr(other, down).fail = [RetrievalUnavailable("down")]
    await other.ingestion.worker.tick()
    assert [await getattr(other, name).held(BOOKS) for name in (down, up)] == ["", version]
    await other.ingestion.worker.tick()
    assert await other.contents(BOOKS) == await path.contents(BOOKS)


async def test_an_index_of_which_a_part_is_lost_is_made_whole(path, engine, clock):
    await path.put(BOOKS, **TEXTS)
    before = await path.contents(BOOKS)
    for index in (path.dense, path.lexical):
        for id in list(index.of(BOOKS))[::3]:
            del index.passages_of[BOOKS][id]
    await write_path(engine, clock, like=path).ingestion.worker.tick()
    assert await path.contents(BOOKS) == before


async def test_a_process_with_indexes_of_its_own_follows_the_others(path, engine, clock):
    other = write_path(engine, clock)
    for change in ({"a": "one", "b": "two"}, {"a": "three"}):
        await path.put(BOOKS, **change)
        await other.ingestion.worker.tick()
        clock.advance(10)
        await path.ingestion.worker.tick()
        await other.ingestion.worker.tick()
        assert await other.contents(BOOKS) == await path.contents(BOOKS)
    document, _ = await path.catalogue.by_name(BOOKS, "a.md")
    await path.ingestion.delete(BOOKS, document.id)
    await other.ingestion.worker.tick()
    assert [p.text for p in other.dense.of(BOOKS).values()] == ["two"]
    assert other.dense.of(BOOKS) == other.lexical.of(BOOKS)
    assert await other.lexical.held(BOOKS) == (await path.catalogue.live(BOOKS)).version


async def test_what_was_removed_while_a_process_was_away_is_gone_when_it_is_back(path, engine, clock):
    other = write_path(engine, clock)
    await path.put(BOOKS, a="one", b="two")
    await other.ingestion.worker.tick()
    document, _ = await path.catalogue.by_name(BOOKS, "a.md")
    await path.ingestion.delete(BOOKS, document.id)
    back = write_path(engine, clock, like=other)
    await back.ingestion.worker.tick()
    assert [p.text for p in back.dense.of(BOOKS).values()] == ["two"]
    assert back.dense.of(BOOKS) == back.lexical.of(BOOKS)


async def test_both_indexes_say_that_they_hold_what_was_just_read(path):
    await path.put(BOOKS, a="one")
    version = (await path.catalogue.live(BOOKS)).version
    assert [await index.held(BOOKS) for index in (path.dense, path.lexical)] == [version, version]


async def test_passages_of_an_older_release_are_taken_over_from_the_index(path, engine, clock):
    await path.put(BOOKS, **TEXTS)
    whole = await path.catalogue.contents(BOOKS)
    async with engine.begin() as sql:
        await sql.execute(delete(passages))
    newer = write_path(engine, clock, like=path)
    while (await newer.catalogue.contents(BOOKS)).bare:
        await newer.ingestion.worker.tick()
    assert await newer.catalogue.contents(BOOKS) == whole
    assert (newer.reader.reads, newer.embedder.calls) == ([], [])


async def test_where_the_index_has_them_no_more_documents_are_read_again_once(path, engine, clock):
    await path.put(BOOKS, **TEXTS)
    whole = await path.catalogue.contents(BOOKS)
    async with engine.begin() as sql:
        await sql.execute(delete(passages))
    path.lexical.lose()
    newer = [write_path(engine, clock, like=path) for _ in range(2)]
    async with asyncio.timeout(60):
        while (await path.catalogue.contents(BOOKS)).bare:
            await asyncio.gather(*(one.ingestion.worker.tick() for one in newer))
    await asyncio.gather(*(one.ingestion.worker.tick() for one in newer))
    assert (await path.catalogue.contents(BOOKS)).passages == whole.passages
    assert sorted(newer[0].reader.reads + newer[1].reader.reads) == sorted(f"{name}.md" for name in TEXTS)
    assert path.dense.of(BOOKS) == path.lexical.of(BOOKS)


async def test_outdated_documents_are_queued_once_however_many_processes_start(path, engine, clock):
    await path.put(BOOKS, **TEXTS)
    newer = [write_path(engine, clock, like=path, made_by="newer") for _ in range(5)]
    queued = await asyncio.gather(*(one.ingestion.reingest(BOOKS) for one in newer))
    assert len([one for one in queued if one]) == 1
    assert await newer[0].ingestion.reingest(BOOKS) is None
    assert (await path.jobs.backlog("acme")).items == len(TEXTS)


async def test_a_reader_sees_one_whole_version_while_documents_change(path, clock):
    """What a search gives: passages held whose revision was live when the search began."""
    whole = {version: {f"{version} {p}" for p in range(6)} for version in range(5)}
    await path.put(BOOKS, a="\n\n".join(sorted(whole[0])))
    seen, ended = set(), False

    async def search():
        while not ended:
            live = (await path.catalogue.live(BOOKS)).revisions
            await asyncio.sleep(0.001)  # without a pause it takes the time that the writer needs
            for index in (path.dense, path.lexical):
                texts = {p.text for p in index.of(BOOKS).values() if p.revision in live}
                seen.update(version for version in whole if texts == whole[version])
                assert texts in whole.values()

    async def has_seen(version):
        while version not in seen:
            await asyncio.sleep(0.001)

    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        group.create_task(search())
        await has_seen(0)
        for version in range(1, 5):
            await path.put(BOOKS, a="\n\n".join(sorted(whole[version])))
        await has_seen(4)
        ended = True


FIRST = {f"d{n}": "\n\n".join(f"Document {n}, paragraph {p}." for p in range(n % 3 + 1)) for n in range(4)}
THEN = FIRST | {"d1": "changed", "d2": "BROKEN", "d4": "new\n\nand long"}


async def _calm(path, corpus, clock):
    """What an undisturbed run of both leaves."""
    await path.put(corpus, **FIRST)
    await path.put(corpus, **THEN)
    clock.advance(31)
    await path.ingestion.worker.tick()
    return _shape(await path.contents(corpus))


@pytest.mark.parametrize("offset", range(3))
async def test_a_process_killed_at_any_step_leaves_work_that_another_finishes(path, engine, clock, offset):
    calm = await _calm(path, CorpusRef("acme", "calm"), clock)
    step, died = 1 + offset, True
    while died:
        corpus, died = CorpusRef("acme", f"killed-{step}"), False
        await path.put(corpus, **FIRST)
        fuse = Fuse(10_000)
        mortal = write_path(engine, clock, like=path, fuse=fuse)
        await mortal.ingestion.worker.tick()  # it has looked at what was there before
        status = await path.ingestion.submit(corpus, [(f"{n}.md", t.encode()) for n, t in THEN.items()])
        fuse.left = step
        try:
            await mortal.ingestion.worker.tick()
        except Killed:
            died = True
        clock.advance(31)
        await path.ingestion.worker.tick()
        clock.advance(31)
        await path.ingestion.worker.tick()
        assert (await path.ingestion.status("acme", status.id)).ended
        assert _shape(await path.contents(corpus)) == calm
        step += 9
    assert step > 40


@pytest.mark.parametrize("seed", range(3))
async def test_a_run_cancelled_again_and_again_leaves_what_an_undisturbed_one_leaves(
    path, engine, clock, seed
):
    calm = await _calm(path, CorpusRef("acme", "calm"), clock)
    rng, patience_s = random.Random(seed), 0.01
    for texts in (FIRST, THEN):
        files = [(f"{n}.md", t.encode()) for n, t in texts.items()]
        status = await path.ingestion.submit(BOOKS, files)
        while not (await path.ingestion.status("acme", status.id)).ended:
            task = asyncio.ensure_future(write_path(engine, clock, like=path).ingestion.worker.tick())
            await asyncio.wait([task], timeout=rng.random() * patience_s)
            task.cancel()
            await asyncio.wait([task])
            patience_s *= 1.2
            clock.advance(31)
    clock.advance(31)
    await path.ingestion.worker.tick()
    assert _shape(await path.contents(BOOKS)) == calm


def _shape(contents):
    """Contents without the ids, which hold the corpus's name."""
    rows, texts, dense, lexical = contents
    held = [sorted((p.name, p.text, p.start) for p in index.values()) for index in (dense, lexical)]
    return [(row[1], *row[4:]) for row in rows], [text for text, _ in texts], held


async def test_a_submitted_folder_is_read_in_order_and_refusals_are_named(path, tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden.md").write_text("no")
    (folder / "sub" / "b.txt").write_text("b")
    (folder / "a.md").write_text("a")
    (folder / "c.docx").write_text("c")
    (folder / "d.md").symlink_to("/etc/hostname")
    ingestion = await path.ingestion.submit_path(BOOKS, [folder])
    status = await path.ingestion.run_to_end("acme", ingestion)
    assert [(i.name, i.state) for i in status.items] == [
        ("a.md", "done"),
        ("c.docx", "failed"),
        ("d.md", "failed"),
        ("sub/b.txt", "done"),
    ]
    again = await path.ingestion.run_to_end("acme", await path.ingestion.submit_path(BOOKS, [folder]))
    assert [i.state for i in again.items] == ["unchanged", "failed", "failed", "unchanged"]


async def test_a_running_worker_sees_new_work_at_once(engine, clock):
    path = write_path(engine, clock, pace=Pace(poll_s=60))
    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        worker = group.create_task(path.ingestion.run_worker())
        status = await path.ingestion.submit(BOOKS, [("a.md", b"text")])
        while not (await path.ingestion.status("acme", status.id)).ended:
            await asyncio.sleep(0.01)
        worker.cancel()


async def test_progress_is_told_and_ends_complete(path):
    told = []
    status = await path.ingestion.submit(BOOKS, [("a.md", b"text"), ("b.md", b"BROKEN")])
    await path.ingestion.run_to_end("acme", status.id, told.append)
    assert told[0].finished == 0
    assert (told[-1].finished, told[-1].total, told[-1].ended) == (2, 2, True)


async def test_old_ingestions_are_forgotten(path, clock):
    status = await path.put(BOOKS, a="text")
    clock.advance(100)
    await path.jobs.sweep(ended_before=clock.now() - 50)
    with pytest.raises(NotFound):
        await path.ingestion.status("acme", status.id)
    assert (await path.put(BOOKS, a="text")).items[0].state == "unchanged"


async def test_what_a_document_leaves_out_is_told_with_its_file_and_with_it(path):
    told = await path.put(BOOKS, a="text", b="SCAN of a form")
    notes = [[note.detail for note in item.notes] for item in told.items]
    assert notes == [[], ["2 of 3"]]
    assert [d.notes for d in await path.catalogue.documents(BOOKS)] == [i.notes for i in told.items]


async def test_what_a_changed_document_keeps_is_not_embedded_again(path):
    await path.put(BOOKS, a="one\n\ntwo\n\nthree")
    await path.put(BOOKS, a="one\n\nnew\n\nthree\n\none")
    assert path.embedder.calls == [3, 1]
    live = (await path.catalogue.documents(BOOKS))[0].revision
    kept = await path.catalogue.passages(BOOKS, live)
    wanted = await path.embedder.embed_passages([one.indexed_text for one in kept])
    found = await path.dense.vectors(BOOKS, [one.id for one in kept])
    assert [found[one.id].tolist() for one in kept] == wanted.tolist()


async def test_a_document_that_is_made_from_nothing_is_embedded_again(path):
    await path.put(BOOKS, a="one\n\ntwo")
    again = await path.ingestion.reingest(BOOKS, everything=True)
    await path.ingestion.run_to_end("acme", again)
    assert path.embedder.calls == [2, 2]


async def test_what_waits_under_the_old_name_of_a_document_does_not_bring_it_back(path):
    await path.put(BOOKS, a="text")
    (document,) = await path.catalogue.documents(BOOKS)
    waiting = await path.ingestion.reingest(BOOKS, everything=True)
    again = await path.ingestion.rename(BOOKS, document, "b.md", "file:///b.md")
    for ingestion in (waiting, again):
        await path.ingestion.run_to_end("acme", ingestion)
    (renamed,) = await path.catalogue.documents(BOOKS)
    assert (renamed.id, renamed.name, renamed.title) == (document.id, "b.md", "b.md")
    assert await path.ingestion.rename(BOOKS, renamed, "b.md", "file:///c.md") is None
    assert (await path.catalogue.get(BOOKS, document.id)).origin == "file:///c.md"


async def test_a_document_renamed_while_it_is_read_is_one_document_in_the_end(path, clock):
    await path.put(BOOKS, a="text")
    (document,) = await path.catalogue.documents(BOOKS)
    status = await path.ingestion.submit(BOOKS, [("a.md", b"new text")])
    flip = path.catalogue.flip

    async def late(*given, **options):
        path.catalogue.flip = flip
        await path.ingestion.rename(BOOKS, document, "b.md", "")
        return await flip(*given, **options)

    path.catalogue.flip = late
    await path.ingestion.run_to_end("acme", status.id)
    clock.advance(31)  # a worker that is cancelled as it takes the lease may leave it to lapse
    await path.ingestion.worker.tick()
    (only,) = await path.catalogue.documents(BOOKS)
    assert (only.id, only.name, only.title) == (document.id, "b.md", "b.md")


async def test_files_that_failed_when_they_were_last_sent_are_told_by_name(path):
    await path.put(BOOKS, b="BROKEN", a="BROKEN", c="text")
    await path.put(CorpusRef("acme", "films"), d="BROKEN")
    await path.put(BOOKS, b="mended", c="BROKEN")
    failed = await path.jobs.failed(BOOKS)
    assert [(item.name, item.reason) for item in failed] == [
        ("a.md", "it is damaged"),
        ("c.md", "it is damaged"),
    ]
    assert await path.jobs.failed(CorpusRef("rival", "books")) == []
