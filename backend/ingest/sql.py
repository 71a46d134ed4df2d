"""Ingestions and their bytes in SQL; the same statements on SQLite and PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.core.clock import Clock
from backend.core.errors import NotFound
from backend.core.types import Note
from backend.corpus.base import CorpusRef
from backend.corpus.locks import hold_still
from backend.corpus.tables import documents
from backend.infra.sql import insert, transaction
from backend.ingest.jobs import Backlog, IngestionStatus, Item, ItemStatus, NewItem, Outcome
from backend.ingest.tables import blobs, ingestion_items, ingestions

_WAITS = ingestion_items.c.state == "waiting"
_UNENDED = ingestions.c.state.in_(("queued", "running"))
_OF_DOCUMENT = and_(
    ingestion_items.c.tenant == documents.c.tenant,
    ingestion_items.c.corpus == documents.c.corpus,
    ingestion_items.c.name == documents.c.name,
    ingestion_items.c.sha256 == documents.c.content_sha256,
)
_OF_IT = ingestion_items.c.ingestion == ingestions.c.id


class SqlJobs:
    """`JobStore` in SQL."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(
        self, corpus: CorpusRef, items: Sequence[NewItem], *, force: bool = False, open_s: float = 0.0
    ) -> str:
        """Keep an ingestion; see `JobStore.create`."""
        async with transaction(self._engine) as sql:
            return await self._create(sql, corpus, items, force=force, open_s=open_s)

    async def reread(self, corpus: CorpusRef, *, unlike: str = "", document: str = "") -> str | None:
        """Queue documents again; see `JobStore.reread`."""
        everything = not (unlike or document)
        which = and_(documents.c.tenant == corpus.tenant, documents.c.corpus == corpus.name)
        if unlike:
            which &= documents.c.made_by != unlike
        if document:
            which &= documents.c.id == document
        if not everything:
            which &= ~exists().where(_OF_DOCUMENT, _WAITS)
        columns = [getattr(documents.c, one) for one in ("name", "content_sha256", "size_bytes", "origin")]
        async with transaction(self._engine) as sql:
            await sql.execute(hold_still(corpus))
            rows = (await sql.execute(select(*columns).where(which).order_by(documents.c.name))).all()
            items = [NewItem(r.name, r.content_sha256, r.size_bytes, origin=r.origin) for r in rows]
            return await self._create(sql, corpus, items, force=everything) if items else None

    async def append(self, tenant: str, ingestion: str, items: Sequence[NewItem], *, open_s: float) -> None:
        """Add items; see `JobStore.append`."""
        here = and_(ingestions.c.id == ingestion, ingestions.c.tenant == tenant)
        until = {"open_until": self._clock.now() + open_s, "updated": self._clock.now()}
        count = select(func.count()).where(ingestion_items.c.ingestion == ingestion)
        async with transaction(self._engine) as sql:
            await sql.execute(update(ingestions).where(here).values(**until))
            corpus = await sql.scalar(select(ingestions.c.corpus).where(here))
            if corpus is None:
                raise NotFound("no such ingestion")
            await self._add(sql, CorpusRef(tenant, corpus), ingestion, items, await sql.scalar(count) or 0)
            await self._settle(sql, ingestions.c.id == ingestion)

    async def status(self, tenant: str, ingestion: str) -> IngestionStatus:
        """How far it has come; see `JobStore.status`."""
        here = and_(ingestions.c.id == ingestion, ingestions.c.tenant == tenant)
        its = (
            select(ingestion_items, documents.c.notes)
            .outerjoin(documents, documents.c.id == ingestion_items.c.document)
            .where(ingestion_items.c.ingestion == ingestion)
        )
        async with transaction(self._engine) as sql:
            job = (await sql.execute(select(ingestions).where(here))).first()
            if job is None:
                raise NotFound("no such ingestion")
            rows = (await sql.execute(its.order_by(ingestion_items.c.number))).all()
        items = tuple(_item_status(row) for row in rows)
        return IngestionStatus(
            id=ingestion,
            corpus=CorpusRef(tenant, job.corpus),
            state=job.state,
            reason=job.reason,
            total=len(items),
            finished=sum(item.state != "waiting" for item in items),
            items=items,
        )

    async def failed(self, corpus: CorpusRef) -> Sequence[ItemStatus]:
        """Files whose last reading failed; see `JobStore.failed`."""
        latest = (ingestions.c.number.desc(), ingestion_items.c.number.desc())
        nth = func.row_number().over(partition_by=ingestion_items.c.name, order_by=latest).label("nth")
        items = select(ingestion_items, nth).join(ingestions, _OF_IT).where(_items_of(corpus)).subquery()
        query = select(items).where(items.c.nth == 1, items.c.state == "failed").order_by(items.c.name)
        async with transaction(self._engine) as sql:
            rows = (await sql.execute(query)).all()
        return [ItemStatus(r.name, r.state, r.reason, r.document, r.passages) for r in rows]

    async def backlog(self, tenant: str) -> Backlog:
        """What waits."""
        jobs = select(func.count(), func.max(ingestions.c.reason)).where(
            ingestions.c.tenant == tenant, _UNENDED
        )
        items = select(func.count(), func.sum(ingestion_items.c.size_bytes)).where(
            ingestion_items.c.tenant == tenant, _WAITS
        )
        async with transaction(self._engine) as sql:
            count, stalled = (await sql.execute(jobs)).one()
            waiting, size = (await sql.execute(items)).one()
        return Backlog(count, waiting, int(size or 0), stalled or "")

    async def waiting_names(self, corpus: CorpusRef) -> frozenset[str]:
        """Names of the items that wait."""
        query = select(ingestion_items.c.name).where(_items_of(corpus), _WAITS).distinct()
        async with transaction(self._engine) as sql:
            return frozenset(await sql.scalars(query))

    async def due(self) -> Sequence[CorpusRef]:
        """Corpora with work; see `JobStore.due`."""
        query = (
            select(ingestions.c.tenant, ingestions.c.corpus)
            .where(_UNENDED, ingestions.c.not_before <= self._clock.now(), exists().where(_OF_IT, _WAITS))
            .group_by(ingestions.c.tenant, ingestions.c.corpus)
            .order_by(func.min(ingestions.c.number))
        )
        async with transaction(self._engine) as sql:
            return [CorpusRef(row.tenant, row.corpus) for row in await sql.execute(query)]

    async def waiting(self, corpus: CorpusRef, limit: int) -> Sequence[Item]:
        """Items in order; see `JobStore.waiting`."""
        query = (
            select(ingestion_items, ingestions.c.force)
            .join(ingestions, _OF_IT)
            .where(_items_of(corpus), _WAITS)
            .order_by(ingestions.c.number, ingestion_items.c.number)
            .limit(limit)
        )
        async with transaction(self._engine) as sql:
            rows = (await sql.execute(query)).all()
            ids = {row.ingestion for row in rows}
            run = update(ingestions).where(ingestions.c.id.in_(ids)).values(state="running", reason="")
            if ids:
                await sql.execute(run)
        return [
            Item(r.ingestion, r.number, r.name, r.sha256, r.size_bytes, r.force, r.attempts, r.origin)
            for r in rows
        ]

    async def begin(self, items: Sequence[Item]) -> None:
        """Count an attempt."""
        count = update(ingestion_items).where(_among(items)).values(attempts=ingestion_items.c.attempts + 1)
        async with transaction(self._engine) as sql:
            await sql.execute(count)

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes; see `JobStore.finish`."""
        if not outcomes:
            return
        record = (
            update(ingestion_items)
            .where(
                ingestion_items.c.ingestion == bindparam("its_ingestion"),
                ingestion_items.c.number == bindparam("its_number"),
            )
            .values({name: bindparam(f"new_{name}") for name in ("state", "reason", "document", "passages")})
        )
        rows = [
            {
                "its_ingestion": o.item.ingestion,
                "its_number": o.item.number,
                "new_state": o.state,
                "new_reason": o.reason,
                "new_document": o.document,
                "new_passages": o.passages,
            }
            for o in outcomes
        ]
        async with transaction(self._engine) as sql:
            await sql.execute(record, rows)
            await self._settle(sql, ingestions.c.id.in_({o.item.ingestion for o in outcomes}))

    async def postpone(self, corpus: CorpusRef, reason: str, not_before: float) -> None:
        """Back to the queue; see `JobStore.postpone`."""
        here = and_(ingestions.c.tenant == corpus.tenant, ingestions.c.corpus == corpus.name, _UNENDED)
        back = {"state": "queued", "reason": reason, "not_before": not_before}
        async with transaction(self._engine) as sql:
            await sql.execute(update(ingestions).where(here).values(**back))
            await sql.execute(update(ingestion_items).where(_items_of(corpus), _WAITS).values(attempts=0))

    async def blob(self, tenant: str, sha256: str) -> bytes | None:
        """Bytes that were sent."""
        query = select(blobs.c.data).where(blobs.c.tenant == tenant, blobs.c.sha256 == sha256)
        async with transaction(self._engine) as sql:
            return cast("bytes | None", await sql.scalar(query))

    async def sweep(self, *, ended_before: float) -> None:
        """Forget what nobody needs; see `JobStore.sweep`."""
        old = and_(~_UNENDED, ingestions.c.updated < ended_before)
        async with transaction(self._engine) as sql:
            await self._settle(sql, true())
            await sql.execute(delete(ingestion_items).where(exists().where(_OF_IT, old)))
            await sql.execute(delete(ingestions).where(old))
            await self._drop(sql, ~_wanted())

    async def forget(self, corpus: CorpusRef, name: str, sha256: str) -> None:
        """Forget a name; see `JobStore.forget`."""
        named = and_(_items_of(corpus), ingestion_items.c.name == name)
        withdrawn = {"state": "failed", "reason": "the document was removed or renamed before this was read"}
        async with transaction(self._engine) as sql:
            await sql.execute(update(ingestion_items).where(named, _WAITS).values(**withdrawn))
            await self._settle(sql, exists().where(_OF_IT, named))
            these = and_(blobs.c.tenant == corpus.tenant, blobs.c.sha256 == sha256)
            await self._drop(sql, and_(these, ~_wanted()))

    async def _create(
        self,
        sql: AsyncConnection,
        corpus: CorpusRef,
        items: Sequence[NewItem],
        *,
        force: bool,
        open_s: float = 0.0,
    ) -> str:
        ingestion, now = secrets.token_hex(16), self._clock.now()
        row = {"id": ingestion, "tenant": corpus.tenant, "corpus": corpus.name, "state": "queued"}
        times = {"created": now, "updated": now, "not_before": 0.0, "open_until": now + open_s}
        await sql.execute(ingestions.insert().values(**row, reason="", force=force, **times))
        await self._add(sql, corpus, ingestion, items, 0)
        await self._settle(sql, ingestions.c.id == ingestion)
        return ingestion

    async def _add(
        self, sql: AsyncConnection, corpus: CorpusRef, ingestion: str, items: Sequence[NewItem], first: int
    ) -> None:
        new = insert(self._engine, blobs)
        keep = new.on_conflict_do_update(
            index_elements=["tenant", "sha256"], set_={"stamp": new.excluded.stamp}
        )
        for item in items:
            if item.data is not None:
                key = {"tenant": corpus.tenant, "sha256": item.sha256, "stamp": secrets.token_hex(8)}
                await sql.execute(keep, {**key, "data": item.data})
        rows = [
            {"ingestion": ingestion, "number": first + n, "tenant": corpus.tenant, "corpus": corpus.name}
            | {"name": item.name, "sha256": item.sha256, "size_bytes": item.size_bytes, "attempts": 0}
            | {"origin": item.origin, "state": item.state, "reason": item.reason}
            | {"document": item.document, "passages": item.passages}
            for n, item in enumerate(items)
        ]
        if rows:
            await sql.execute(ingestion_items.insert(), rows)

    async def _drop(self, sql: AsyncConnection, which: ColumnElement[bool]) -> None:
        """Remove blobs unless somebody asks for them meanwhile: then their stamp is another."""
        unused = select(blobs.c.tenant, blobs.c.sha256, blobs.c.stamp).where(which)
        for tenant, sha256, stamp in (await sql.execute(unused)).all():
            key = (blobs.c.tenant == tenant, blobs.c.sha256 == sha256, blobs.c.stamp == stamp)
            await sql.execute(delete(blobs).where(*key))

    async def _settle(self, sql: AsyncConnection, which: ColumnElement[bool]) -> None:
        """End those of these ingestions that are closed and have nothing waiting."""
        now = self._clock.now()
        read = exists().where(_OF_IT, ingestion_items.c.state.in_(("done", "unchanged")))
        none_at_all = ~exists().where(_OF_IT)
        end = (
            update(ingestions)
            .where(which, _UNENDED, ingestions.c.open_until <= now)
            .where(~exists().where(_OF_IT, _WAITS))
            .values(state=case((read | none_at_all, "done"), else_="failed"), reason="", updated=now)
        )
        await sql.execute(end)


def _item_status(row: Row[Any]) -> ItemStatus:
    notes = tuple(Note(*note) for note in row.notes or ())
    return ItemStatus(row.name, row.state, row.reason, row.document, row.passages, notes)


def _items_of(corpus: CorpusRef) -> ColumnElement[bool]:
    return and_(ingestion_items.c.tenant == corpus.tenant, ingestion_items.c.corpus == corpus.name)


def _among(items: Sequence[Item]) -> ColumnElement[bool]:
    key = tuple_(ingestion_items.c.ingestion, ingestion_items.c.number)
    return key.in_([(item.ingestion, item.number) for item in items])


def _wanted() -> ColumnElement[bool]:
    """Whether a document was made of these bytes or an item waits to be."""
    of_document = and_(documents.c.tenant == blobs.c.tenant, documents.c.content_sha256 == blobs.c.sha256)
    of_item = and_(ingestion_items.c.tenant == blobs.c.tenant, ingestion_items.c.sha256 == blobs.c.sha256)
    return exists().where(of_document) | exists().where(of_item, _WAITS)
