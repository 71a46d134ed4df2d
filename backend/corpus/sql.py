"""The catalogue in SQL; the same statements on SQLite and PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Row,
    and_,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.core.clock import Clock
from backend.core.errors import Conflict, NotFound
from backend.core.types import About, Language, Note, Passage
from backend.corpus.base import Contents, CorpusRef, Document, LiveView, NewRevision
from backend.corpus.ids import document_id
from backend.corpus.live import LiveViews
from backend.corpus.locks import hold_still
from backend.corpus.passage_rows import are_all, in_order, kept, passage_of, row_of
from backend.corpus.tables import corpora, documents, leftovers, passages, revisions
from backend.infra.sql import insert, transaction

REVISIONS_KEPT = 3
_PLAIN = tuple(name for name in Document.__slots__ if name not in ("corpus", "notes", "about"))
"""Fields of a document that are columns as they are."""


class SqlCatalogue:
    """`WritableCatalogue` in SQL.

    A change first locks the corpus's row: changes of one corpus follow each other, others do not wait.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._views = LiveViews(clock, self._read_view, self._read_version)

    async def live(self, corpus: CorpusRef) -> LiveView:
        """Live revisions and version; see `Catalogue.live`."""
        return await self._views.get(corpus)

    async def flip(
        self, corpus: CorpusRef, new: NewRevision, *, writer: str | None = None
    ) -> tuple[Document, str | None]:
        """Make `new` live; see `Catalogue.flip`."""
        version = secrets.token_hex(8)
        try:
            async with transaction(self._engine) as sql:
                before = await self._lock(sql, corpus, version)
                await self._end_draft(sql, corpus, new.revision, writer)
                old = (await sql.execute(select(documents).where(_named(corpus, new.name)))).first()
                id = await _id_of(sql, corpus, new, old.id if old is not None else None)
                document = _document_of(corpus, id, new, old, self._clock.now())
                await self._write(sql, document, new, known=old is not None)
                replaced = old.revision if old is not None and old.revision != new.revision else None
                if replaced:
                    await self._leave(sql, corpus, [replaced], "", self._clock.now())
        except BaseException:
            self._views.forget(corpus)  # cancelled in the middle: it may have been committed
            raise
        self._views.changed(corpus, before, version, out=replaced, into=new.revision)
        return document, replaced

    async def remove(self, corpus: CorpusRef, document: str) -> str:
        """Remove a document and every kept text of it; see `Catalogue.remove`."""
        version = secrets.token_hex(8)
        try:
            async with transaction(self._engine) as sql:
                before = await self._lock(sql, corpus, version)
                last = await sql.scalar(select(documents.c.revision).where(_identified(corpus, document)))
                if last is None:
                    raise NotFound("no such document")
                await sql.execute(delete(revisions).where(revisions.c.document == document))
                await sql.execute(delete(documents).where(_identified(corpus, document)))
                await self._leave(sql, corpus, [last], "", 0.0)
        except BaseException:
            self._views.forget(corpus)
            raise
        self._views.changed(corpus, before, version, out=last, into=None)
        return cast(str, last)

    async def by_name(self, corpus: CorpusRef, name: str) -> tuple[Document, str] | None:
        """The document of that name and its `made_by`; see `Catalogue.by_name`."""
        query = (
            select(documents, passages.c.ordinal)
            .outerjoin(passages, and_(kept(), passages.c.ordinal == 0))
            .where(_named(corpus, name))
        )
        async with transaction(self._engine) as sql:
            row = (await sql.execute(query)).first()
        if row is None:
            return None
        return _document(row), row.made_by if row.ordinal is not None else ""

    async def id_for(self, corpus: CorpusRef, name: str) -> str:
        """Of the document, or for a new one; see `Catalogue.id_for`."""
        async with transaction(self._engine) as sql:
            known = await sql.scalar(select(documents.c.id).where(_named(corpus, name)))
            return cast(str, known) or await _free_id(sql, corpus, name)

    async def rename(self, corpus: CorpusRef, document: str, name: str, origin: str) -> None:
        """Another name for the same document; see `Catalogue.rename`."""
        async with transaction(self._engine) as sql:
            await self._lock(sql, corpus, secrets.token_hex(8))
            if await sql.scalar(select(documents.c.id).where(_named(corpus, name))):
                raise Conflict("another document has that name")
            new = {"name": name, "origin": origin, "made_by": "", "updated": self._clock.now()}
            renamed = await sql.execute(update(documents).where(_identified(corpus, document)).values(new))
            if not renamed.rowcount:
                raise NotFound("no such document")
        self._views.forget(corpus)

    async def place(self, corpus: CorpusRef, origins: Mapping[str, str]) -> None:
        """Where documents lie; see `Catalogue.place`."""
        if origins:
            here = _identified(corpus, bindparam("its_id"))
            move = update(documents).where(here).values(origin=bindparam("its_origin"))
            rows = [{"its_id": id, "its_origin": origin} for id, origin in origins.items()]
            async with transaction(self._engine) as sql:
                await sql.execute(move, rows)

    async def get(self, corpus: CorpusRef, document: str) -> Document:
        """One document; see `Catalogue.get`."""
        async with transaction(self._engine) as sql:
            row = (await sql.execute(select(documents).where(_identified(corpus, document)))).first()
        if row is None:
            raise NotFound("no such document")
        return _document(row)

    async def text(self, corpus: CorpusRef, document: str, revision: str | None = None) -> tuple[str, str]:
        """Extracted text and revision id; see `Catalogue.text`."""
        wanted = documents.c.revision if revision is None else revision
        query = (
            select(revisions.c.text, revisions.c.id)
            .join(documents, documents.c.id == revisions.c.document)
            .where(_identified(corpus, document), revisions.c.id == wanted)
        )
        async with transaction(self._engine) as sql:
            row = (await sql.execute(query)).first()
        if row is None:
            raise NotFound("no such document, or no longer this revision of it")
        return row.text, row.id

    async def documents(self, corpus: CorpusRef, *, after: str = "", limit: int = 100) -> Sequence[Document]:
        """Documents by name; see `Catalogue.documents`."""
        query = (
            select(documents)
            .where(_within(corpus), documents.c.name > after)
            .order_by(documents.c.name)
            .limit(limit)
        )
        async with transaction(self._engine) as sql:
            return [_document(row) for row in await sql.execute(query)]

    async def all_documents(self, corpus: CorpusRef) -> Sequence[Document]:
        """Every document, by name."""
        query = select(documents).where(_within(corpus)).order_by(documents.c.name)
        async with transaction(self._engine) as sql:
            return [_document(row) for row in await sql.execute(query)]

    async def corpora(self, tenant: str) -> Sequence[CorpusRef]:
        """Corpora of the tenant that hold a document."""
        names = select(documents.c.corpus).where(documents.c.tenant == tenant).distinct()
        async with transaction(self._engine) as sql:
            return [CorpusRef(tenant, name) for name in sorted(await sql.scalars(names))]

    async def versions(self) -> Mapping[CorpusRef, str]:
        """Version of every corpus."""
        async with transaction(self._engine) as sql:
            rows = await sql.execute(select(corpora))
            return {CorpusRef(row.tenant, row.name): row.version for row in rows}

    async def contents(self, corpus: CorpusRef) -> Contents:
        """What is live; see `WritableCatalogue.contents`."""
        columns = (documents.c.id, documents.c.revision, documents.c.passages, passages.c.ordinal)
        query = (
            select(corpora.c.version, *columns)
            .outerjoin(documents, _of_corpus())
            .outerjoin(passages, and_(kept(), passages.c.ordinal == 0))
            .where(_corpus_is(corpus))
        )
        async with transaction(self._engine) as sql:
            rows = (await sql.execute(query)).all()
        live = [row for row in rows if row.revision]
        return Contents(
            rows[0].version if rows else "",
            {row.revision: row.passages for row in live if row.ordinal is not None},
            {row.revision: row.id for row in live if row.ordinal is None},
        )

    async def passages(self, corpus: CorpusRef, revision: str) -> Sequence[Passage]:
        """Passages of a live revision; see `WritableCatalogue.passages`."""
        query = (
            select(passages, documents.c.name, documents.c.title, documents.c.language)
            .join(documents, kept())
            .where(_within(corpus), documents.c.revision == revision)
            .order_by(passages.c.ordinal)
        )
        async with transaction(self._engine) as sql:
            return [passage_of(row) for row in await sql.execute(query)]

    async def fill(self, corpus: CorpusRef, passages: Sequence[Passage]) -> bool:
        """Keep passages found elsewhere; see `WritableCatalogue.fill`."""
        found = in_order(passages)
        if not found:
            return False
        query = (
            select(documents.c.id, documents.c.passages, revisions.c.text)
            .join(revisions, revisions.c.document == documents.c.id)
            .where(_within(corpus), documents.c.revision == found[0].revision)
            .where(revisions.c.id == documents.c.revision)
        )
        async with transaction(self._engine) as sql:
            await sql.execute(hold_still(corpus))
            row = (await sql.execute(query)).first()
            if row is None or not are_all(found, row.id, row.passages, row.text):
                return False
            await self._write_passages(sql, row.id, found[0].revision, found)
        return True

    async def draft(self, corpus: CorpusRef, revisions: Sequence[str], *, writer: str) -> None:
        """Announce passages that are about to be written; see `WritableCatalogue.draft`."""
        if revisions:
            async with transaction(self._engine) as sql:
                await self._leave(sql, corpus, revisions, writer, self._clock.now())

    async def left_over(self, corpus: CorpusRef, *, older_than_s: float) -> Sequence[str]:
        """Revisions to clean; see `WritableCatalogue.left_over`."""
        query = select(leftovers.c.revision).where(
            leftovers.c.tenant == corpus.tenant, leftovers.c.corpus == corpus.name, self._old(older_than_s)
        )
        async with transaction(self._engine) as sql:
            return list(await sql.scalars(query))

    async def cleared(self, corpus: CorpusRef, revisions: Sequence[str]) -> None:
        """Forget cleaned revisions."""
        if revisions:
            gone = delete(leftovers).where(_left(corpus, bindparam("gone")))
            async with transaction(self._engine) as sql:
                await sql.execute(gone, [{"gone": revision} for revision in revisions])

    async def untidy(self, *, older_than_s: float) -> Sequence[CorpusRef]:
        """Corpora with something to clean."""
        query = select(leftovers.c.tenant, leftovers.c.corpus).where(self._old(older_than_s)).distinct()
        async with transaction(self._engine) as sql:
            return [CorpusRef(row.tenant, row.corpus) for row in await sql.execute(query)]

    def _old(self, age_s: float) -> ColumnElement[bool]:
        live = select(documents.c.id).where(
            documents.c.tenant == leftovers.c.tenant,
            documents.c.corpus == leftovers.c.corpus,
            documents.c.revision == leftovers.c.revision,
        )
        return and_(leftovers.c.since <= self._clock.now() - age_s, ~live.exists())

    async def _lock(self, sql: AsyncConnection, corpus: CorpusRef, version: str) -> str:
        """Keep others from changing the corpus until the end; draws `version`, gives the one before."""
        key = {"tenant": corpus.tenant, "name": corpus.name}
        row = insert(self._engine, corpora).values(**key, version="")
        await sql.execute(row.on_conflict_do_update(index_elements=list(key), set_={"name": corpus.name}))
        before = await sql.scalar(select(corpora.c.version).where(_corpus_is(corpus)))
        await sql.execute(update(corpora).where(_corpus_is(corpus)).values(version=version))
        return before or ""

    async def _end_draft(
        self, sql: AsyncConnection, corpus: CorpusRef, revision: str, writer: str | None
    ) -> None:
        draft = delete(leftovers).where(_left(corpus, revision))
        ended = await sql.execute(draft if writer is None else draft.where(leftovers.c.writer == writer))
        if writer is not None and not ended.rowcount:
            raise Conflict("another worker has taken this document over")

    async def _leave(
        self, sql: AsyncConnection, corpus: CorpusRef, ids: Sequence[str], writer: str, since: float
    ) -> None:
        key = {"tenant": corpus.tenant, "corpus": corpus.name}
        new = insert(self._engine, leftovers)
        new = new.on_conflict_do_update(
            index_elements=["tenant", "corpus", "revision"],
            set_={"writer": new.excluded.writer, "since": new.excluded.since},
        )
        rows = [{**key, "revision": revision, "writer": writer, "since": since} for revision in ids]
        await sql.execute(new, rows)

    async def _write(
        self, sql: AsyncConnection, document: Document, new: NewRevision, *, known: bool
    ) -> None:
        values = _values(document, new.made_by)
        if known:
            await sql.execute(update(documents).where(documents.c.id == document.id).values(**values))
        else:
            await sql.execute(documents.insert().values(**values))
        await self._write_passages(sql, document.id, new.revision, new.passages)
        of = revisions.c.document == document.id
        number = (await sql.scalar(select(func.max(revisions.c.number)).where(of)) or 0) + 1
        text = {"number": number, "text": new.text.replace("\0", " ")}  # PostgreSQL refuses NUL
        row = insert(self._engine, revisions).values(document=document.id, id=new.revision, **text)
        await sql.execute(row.on_conflict_do_update(index_elements=["document", "id"], set_=text))
        oldest = (
            select(revisions.c.number).where(of).order_by(revisions.c.number.desc()).limit(REVISIONS_KEPT)
        ).subquery()
        bound = select(func.min(oldest.c.number)).scalar_subquery()
        await sql.execute(delete(revisions).where(of, revisions.c.number < bound))

    async def _write_passages(
        self, sql: AsyncConnection, document: str, revision: str, new: Sequence[Passage]
    ) -> None:
        """In place of those of the revision before."""
        await sql.execute(delete(passages).where(passages.c.document == document))
        if rows := [row_of(document, revision, n, one) for n, one in enumerate(new)]:
            await sql.execute(passages.insert(), rows)

    async def _read_view(self, corpus: CorpusRef) -> LiveView:
        query = (
            select(corpora.c.version, documents.c.revision)
            .outerjoin(documents, _of_corpus())
            .where(_corpus_is(corpus))
        )
        async with transaction(self._engine) as sql:
            rows = (await sql.execute(query)).all()
        return LiveView(rows[0].version if rows else "", frozenset(r.revision for r in rows if r.revision))

    async def _read_version(self, corpus: CorpusRef) -> str:
        async with transaction(self._engine) as sql:
            return await sql.scalar(select(corpora.c.version).where(_corpus_is(corpus))) or ""


def _corpus_is(corpus: CorpusRef) -> ColumnElement[bool]:
    return and_(corpora.c.tenant == corpus.tenant, corpora.c.name == corpus.name)


def _of_corpus() -> ColumnElement[bool]:
    return and_(documents.c.tenant == corpora.c.tenant, documents.c.corpus == corpora.c.name)


def _within(corpus: CorpusRef) -> ColumnElement[bool]:
    return and_(documents.c.tenant == corpus.tenant, documents.c.corpus == corpus.name)


def _named(corpus: CorpusRef, name: str) -> ColumnElement[bool]:
    return and_(_within(corpus), documents.c.name == name)


def _identified(corpus: CorpusRef, document: str | BindParameter[str]) -> ColumnElement[bool]:
    return and_(_within(corpus), documents.c.id == document)


def _left(corpus: CorpusRef, revision: str | BindParameter[str]) -> ColumnElement[bool]:
    return and_(
        leftovers.c.tenant == corpus.tenant,
        leftovers.c.corpus == corpus.name,
        leftovers.c.revision == revision,
    )


async def _free_id(sql: AsyncConnection, corpus: CorpusRef, name: str) -> str:
    """One made of the name; a document that was renamed may have kept the first."""
    id, tried = document_id(corpus, name), 0
    while await sql.scalar(select(documents.c.id).where(documents.c.id == id)):
        tried += 1
        id = document_id(corpus, f"{name}\0{tried}")
    return id


async def _id_of(sql: AsyncConnection, corpus: CorpusRef, new: NewRevision, known: str | None) -> str:
    """The id of the document that has the name, or of a new one: that which its passages were written with.

    Raises:
        Conflict: A document was renamed since.
    """
    id = known or new.document or await _free_id(sql, corpus, new.name)
    of_another = select(documents.c.id).where(documents.c.id == id, documents.c.name != new.name)
    if new.document not in ("", id) or await sql.scalar(of_another):
        raise Conflict("a document was renamed meanwhile")
    return id


def _document_of(corpus: CorpusRef, id: str, new: NewRevision, old: Row[Any] | None, now: float) -> Document:
    return Document(
        id=id,
        corpus=corpus,
        name=new.name,
        title=new.title.replace("\0", " "),
        media_type=new.media_type,
        language=new.language,
        revision=new.revision,
        content_sha256=new.content_sha256,
        size_bytes=new.size_bytes,
        passages=len(new.passages),
        created=old.created if old is not None else now,
        updated=now,
        origin=new.origin,
        notes=new.notes,
        about=About(new.about.date.replace("\0", " "), new.about.description.replace("\0", " ")),
    )


def _values(document: Document, made_by: str) -> dict[str, Any]:
    fields = {name: getattr(document, name) for name in _PLAIN}
    notes = [[note.code, note.count, note.detail] for note in document.notes]
    about = {"date": document.about.date, "description": document.about.description}
    corpus = {"tenant": document.corpus.tenant, "corpus": document.corpus.name}
    return fields | corpus | about | {"notes": notes, "made_by": made_by}


def _document(row: Row[Any]) -> Document:
    fields = {name: getattr(row, name) for name in _PLAIN}
    fields["language"] = cast(Language, row.language)
    notes = tuple(Note(*note) for note in row.notes)
    about = About(row.date, row.description)
    return Document(corpus=CorpusRef(row.tenant, row.corpus), notes=notes, about=about, **fields)
