"""What every catalogue promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import delete, func, select

from backend.core.errors import Conflict, NotFound
from backend.core.types import About, Note
from backend.corpus.base import CorpusRef, NewRevision
from backend.corpus.sql import SqlCatalogue
from backend.corpus.tables import passages
from backend.infra.sql import metadata
from tests.support.databases import empty_database, postgres_url, sqlite_url
from tests.support.manual_clock import ManualClock
from tests.support.passages import passage

__all__ = ["postgres_url"]

BOOKS = CorpusRef("acme", "books")
MANY = 40_000
"""More than either database takes parameters in one statement."""
PASSAGES = (passage("first", title="Title"), passage("text", title="Title", start=6, end=10))
A = NewRevision("a.md", "r1", "Title", "text/markdown", "en", "sha1", 10, PASSAGES, "first text", "maker")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    return sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def engine(url):
    async with empty_database(url) as engine:
        yield engine


@pytest.fixture
def catalogue(engine, clock):
    return SqlCatalogue(engine, clock)


@pytest.fixture
def elsewhere(engine, clock):
    """The catalogue as another process sees it."""
    return SqlCatalogue(engine, clock)


async def test_a_corpus_that_never_had_a_document_has_no_version(catalogue):
    view = await catalogue.live(BOOKS)
    assert (view.version, view.revisions) == ("", frozenset())


async def test_a_flip_makes_the_revision_live_and_draws_a_version(catalogue):
    document, replaced = await catalogue.flip(BOOKS, A)
    view = await catalogue.live(BOOKS)
    assert replaced is None
    assert view.version
    assert view.revisions == {"r1"}
    assert await catalogue.get(BOOKS, document.id) == document
    assert await catalogue.by_name(BOOKS, "a.md") == (document, "maker")
    assert await catalogue.text(BOOKS, document.id) == ("first text", "r1")


async def test_a_changed_document_keeps_its_id_and_first_date(catalogue, clock):
    first, _ = await catalogue.flip(BOOKS, A)
    clock.advance(60)
    second, replaced = await catalogue.flip(BOOKS, replace(A, revision="r2", text="second text"))
    assert replaced == "r1"
    assert (second.id, second.created) == (first.id, first.created)
    assert second.updated == first.updated + 60
    assert (await catalogue.live(BOOKS)).revisions == {"r2"}


async def test_every_change_draws_another_version(catalogue):
    seen = {(await catalogue.live(BOOKS)).version}
    for revision in ("r1", "r2", "r1"):
        document, _ = await catalogue.flip(BOOKS, replace(A, revision=revision))
        seen.add((await catalogue.live(BOOKS)).version)
    await catalogue.remove(BOOKS, document.id)
    seen.add((await catalogue.live(BOOKS)).version)
    assert len(seen) == 5


async def test_the_last_three_texts_stay_readable(catalogue):
    for n in range(5):
        document, _ = await catalogue.flip(BOOKS, replace(A, revision=f"r{n}", text=f"text {n}"))
    assert await catalogue.text(BOOKS, document.id, "r2") == ("text 2", "r2")
    with pytest.raises(NotFound):
        await catalogue.text(BOOKS, document.id, "r1")


async def test_a_removed_document_leaves_nothing(catalogue):
    document, _ = await catalogue.flip(BOOKS, A)
    assert await catalogue.remove(BOOKS, document.id) == "r1"
    assert (await catalogue.live(BOOKS)).revisions == frozenset()
    assert await catalogue.corpora("acme") == []
    for gone in (catalogue.get, catalogue.text, catalogue.remove):
        with pytest.raises(NotFound):
            await gone(BOOKS, document.id)


async def test_another_tenant_or_corpus_finds_nothing(catalogue):
    document, _ = await catalogue.flip(BOOKS, A)
    for other in (CorpusRef("rival", "books"), CorpusRef("acme", "films")):
        assert await catalogue.by_name(other, "a.md") is None
        assert await catalogue.documents(other) == []
        assert (await catalogue.live(other)).version == ""
        for hidden in (catalogue.get, catalogue.text, catalogue.remove):
            with pytest.raises(NotFound):
                await hidden(other, document.id)
    assert await catalogue.corpora("rival") == []


async def test_documents_come_by_name_a_page_at_a_time(catalogue):
    names = ["Zoé.md", "a.md", "b/c.md", "Éric.md", "b.md"]
    for n, name in enumerate(names):
        await catalogue.flip(BOOKS, replace(A, name=name, revision=f"r{n}"))
    first = await catalogue.documents(BOOKS, limit=3)
    rest = await catalogue.documents(BOOKS, after=first[-1].name)
    assert [d.name for d in (*first, *rest)] == sorted(names)
    assert await catalogue.corpora("acme") == [BOOKS]


async def test_flips_at_once_lose_nothing(engine, clock):
    replicas = [SqlCatalogue(engine, clock) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for n in range(18):
            new = replace(A, name=f"{n % 9}.md", revision=f"r{n}")
            group.create_task(replicas[n % 3].flip(BOOKS, new))
    documents = await replicas[0].documents(BOOKS)
    clock.advance(2)
    views = [await replica.live(BOOKS) for replica in replicas]
    assert len(documents) == 9
    assert views[0].revisions == {d.revision for d in documents}
    assert views[0] == views[1] == views[2]


async def test_a_change_elsewhere_is_seen_within_a_second(catalogue, elsewhere, clock):
    await catalogue.flip(BOOKS, A)
    assert (await elsewhere.live(BOOKS)).revisions == {"r1"}
    await catalogue.flip(BOOKS, replace(A, revision="r2"))
    clock.advance(1)
    assert (await elsewhere.live(BOOKS)) == await catalogue.live(BOOKS)


async def test_a_nul_in_a_text_keeps_every_offset(catalogue):
    document, _ = await catalogue.flip(BOOKS, replace(A, text="a\0b"))
    assert (await catalogue.text(BOOKS, document.id))[0] == "a b"


async def test_passages_are_kept_with_their_revision_and_go_with_it(catalogue):
    document, _ = await catalogue.flip(BOOKS, A)
    kept = await catalogue.passages(BOOKS, "r1")
    assert [(p.id, p.document, p.text, p.title) for p in kept] == [
        ("r1-0", document.id, "first", "Title"),
        ("r1-1", document.id, "text", "Title"),
    ]
    await catalogue.flip(BOOKS, replace(A, revision="r2", passages=PASSAGES[:1]))
    assert await catalogue.passages(BOOKS, "r1") == []
    assert len(await catalogue.passages(BOOKS, "r2")) == 1
    assert await catalogue.passages(CorpusRef("rival", "books"), "r2") == []
    contents = await catalogue.contents(BOOKS)
    assert (contents.passages, contents.bare) == ({"r2": 1}, {})
    assert await catalogue.versions() == {BOOKS: contents.version}


async def test_a_removed_document_takes_its_passages_with_it(catalogue, engine):
    document, _ = await catalogue.flip(BOOKS, A)
    await catalogue.remove(BOOKS, document.id)
    async with engine.begin() as sql:
        assert await sql.scalar(select(func.count()).select_from(passages)) == 0
    assert (await catalogue.contents(BOOKS)).passages == {}


async def test_a_bare_revision_is_filled_with_all_of_its_own_passages_and_nothing_else(catalogue, engine):
    document, _ = await catalogue.flip(BOOKS, A)
    own = await catalogue.passages(BOOKS, "r1")
    async with engine.begin() as sql:
        await sql.execute(delete(passages))
    assert (await catalogue.contents(BOOKS)).bare == {"r1": document.id}
    assert (await catalogue.by_name(BOOKS, "a.md"))[1] == ""
    others = [replace(own[1], text="else"), replace(own[1], document="d9"), replace(own[1], id="r1-7")]
    for wrong in ([], own[:1], [*own, own[1]], *([own[0], other] for other in others)):
        assert not await catalogue.fill(BOOKS, wrong)
    assert await catalogue.fill(BOOKS, own[::-1])
    assert await catalogue.passages(BOOKS, "r1") == own
    assert (await catalogue.contents(BOOKS)).bare == {}
    assert not await catalogue.fill(BOOKS, [replace(one, revision="r0") for one in own])


async def test_a_draft_is_left_over_until_its_flip(catalogue, clock):
    await catalogue.draft(BOOKS, ["r1"], writer="w")
    assert await catalogue.left_over(BOOKS, older_than_s=1) == []
    clock.advance(1)
    assert await catalogue.left_over(BOOKS, older_than_s=1) == ["r1"]
    await catalogue.flip(BOOKS, A, writer="w")
    assert await catalogue.left_over(BOOKS, older_than_s=0) == []


async def test_a_replaced_revision_is_left_over_until_cleared(catalogue, clock):
    await catalogue.flip(BOOKS, A)
    await catalogue.flip(BOOKS, replace(A, revision="r2"))
    assert await catalogue.left_over(BOOKS, older_than_s=5) == []
    clock.advance(5)
    assert await catalogue.untidy(older_than_s=5) == [BOOKS]
    assert await catalogue.left_over(BOOKS, older_than_s=5) == ["r1"]
    await catalogue.cleared(BOOKS, ["r1"])
    assert await catalogue.untidy(older_than_s=0) == []


async def test_any_number_of_revisions_is_announced_and_cleared_at_once(catalogue):
    many = [f"r{n}" for n in range(MANY)]
    await catalogue.draft(BOOKS, many, writer="w")
    assert len(await catalogue.left_over(BOOKS, older_than_s=0)) == MANY
    await catalogue.cleared(BOOKS, many)
    assert await catalogue.left_over(BOOKS, older_than_s=0) == []


async def test_a_removed_revision_is_left_over_at_once(catalogue):
    document, _ = await catalogue.flip(BOOKS, A)
    await catalogue.remove(BOOKS, document.id)
    assert await catalogue.left_over(BOOKS, older_than_s=3600) == ["r1"]


async def test_a_live_revision_is_never_left_over(catalogue, clock):
    await catalogue.flip(BOOKS, A)
    await catalogue.draft(BOOKS, ["r1"], writer="again")
    clock.advance(60)
    assert await catalogue.left_over(BOOKS, older_than_s=0) == []


async def test_an_overtaken_writer_cannot_flip(catalogue):
    await catalogue.draft(BOOKS, ["r1"], writer="slow")
    await catalogue.draft(BOOKS, ["r1"], writer="quick")
    with pytest.raises(Conflict):
        await catalogue.flip(BOOKS, A, writer="slow")
    assert (await catalogue.live(BOOKS)).revisions == frozenset()
    await catalogue.flip(BOOKS, A, writer="quick")
    with pytest.raises(Conflict):
        await catalogue.flip(BOOKS, replace(A, revision="r0"), writer="slow")
    assert (await catalogue.live(BOOKS)).revisions == {"r1"}


async def test_the_view_known_is_served_while_the_database_is_away(engine, clock):
    catalogue = SqlCatalogue(engine, clock)
    await catalogue.flip(BOOKS, A)
    known = await catalogue.live(BOOKS)
    async with engine.begin() as sql:
        await sql.run_sync(metadata.drop_all)
    clock.advance(10)
    assert await catalogue.live(BOOKS) == known


NOTES = (Note("pages_without_text", 2, "2 of 3"), Note("hidden_text", 1))
ABOUT = About("2024-05-02", "How long a book may be kept.")


async def test_what_a_document_leaves_out_and_says_of_itself_is_kept_with_it(catalogue):
    new = replace(A, notes=NOTES, about=ABOUT, origin="file:///srv/a.md")
    document, _ = await catalogue.flip(BOOKS, new)
    assert (document.notes, document.about, document.origin) == (NOTES, ABOUT, "file:///srv/a.md")
    assert await catalogue.get(BOOKS, document.id) == document
    assert list(await catalogue.documents(BOOKS)) == [document]
    mended, _ = await catalogue.flip(BOOKS, replace(A, revision="r2"))
    assert (mended.notes, mended.about, mended.origin) == ((), About(), "")


async def test_a_renamed_document_is_the_same_document_and_is_read_again(catalogue, clock):
    document, _ = await catalogue.flip(BOOKS, A)
    clock.advance(60)
    before = await catalogue.versions()
    await catalogue.rename(BOOKS, document.id, "b.md", "file:///srv/b.md")
    renamed = await catalogue.get(BOOKS, document.id)
    assert (renamed.name, renamed.origin, renamed.created) == ("b.md", "file:///srv/b.md", document.created)
    assert await catalogue.by_name(BOOKS, "a.md") is None
    assert await catalogue.by_name(BOOKS, "b.md") == (renamed, "")
    assert await catalogue.text(BOOKS, document.id, "r1") == ("first text", "r1")
    assert await catalogue.versions() != before
    again, replaced = await catalogue.flip(BOOKS, replace(A, name="b.md", revision="r2"))
    assert (again.id, replaced) == (document.id, "r1")


async def test_a_name_that_was_given_up_makes_another_document(catalogue):
    first, _ = await catalogue.flip(BOOKS, A)
    await catalogue.rename(BOOKS, first.id, "b.md", "")
    drawn = await catalogue.id_for(BOOKS, "a.md")
    second, _ = await catalogue.flip(BOOKS, replace(A, revision="r2", document=drawn))
    assert second.id == drawn != first.id
    assert await catalogue.id_for(BOOKS, "b.md") == first.id
    assert [d.name for d in await catalogue.documents(BOOKS)] == ["a.md", "b.md"]


async def test_a_name_is_not_taken_from_another_document(catalogue):
    first, _ = await catalogue.flip(BOOKS, A)
    await catalogue.flip(BOOKS, replace(A, name="b.md", revision="r2"))
    with pytest.raises(Conflict):
        await catalogue.rename(BOOKS, first.id, "b.md", "")
    with pytest.raises(NotFound):
        await catalogue.rename(BOOKS, "nothing", "c.md", "")
    with pytest.raises(NotFound):
        await catalogue.rename(CorpusRef("rival", "books"), first.id, "c.md", "")
    assert (await catalogue.get(BOOKS, first.id)).name == "a.md"


async def test_passages_written_for_a_document_that_was_renamed_do_not_become_another(catalogue):
    drawn = await catalogue.id_for(BOOKS, "b.md")
    first, _ = await catalogue.flip(BOOKS, replace(A, document=await catalogue.id_for(BOOKS, "a.md")))
    await catalogue.rename(BOOKS, first.id, "b.md", "")
    for late in (replace(A, name="b.md", document=drawn), replace(A, document=first.id)):
        with pytest.raises(Conflict):
            await catalogue.flip(BOOKS, replace(late, revision="r2"))


async def test_where_documents_lie_is_noted_without_another_change(catalogue):
    document, _ = await catalogue.flip(BOOKS, A)
    version = (await catalogue.live(BOOKS)).version
    await catalogue.place(BOOKS, {document.id: "file:///srv/a.md", "nothing": "file:///x"})
    await catalogue.place(CorpusRef("rival", "books"), {document.id: "file:///theirs"})
    assert await catalogue.get(BOOKS, document.id) == replace(document, origin="file:///srv/a.md")
    assert (await catalogue.live(BOOKS)).version == version
