"""Corpus leases in SQL. Replicas' clocks may differ by a small part of a lease."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, delete, or_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core.clock import Clock
from backend.corpus.base import CorpusRef
from backend.infra.sql import insert, transaction
from backend.ingest.tables import corpus_leases


class SqlLeases:
    """`Leases` as one row a corpus.

    Args:
        alone: No other process can be at work, so that the lease of one that was killed need not lapse.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, *, alone: bool = False) -> None:
        self._engine = engine
        self._clock = clock
        self._alone = alone
        self._ours: set[str] = set()

    async def take(self, corpus: CorpusRef, owner: str, lease_s: float) -> bool:
        """Take or renew; see `Leases.take`."""
        now = self._clock.now()
        new = insert(self._engine, corpus_leases).values(
            tenant=corpus.tenant, corpus=corpus.name, owner=owner, expires=now + lease_s
        )
        free = or_(corpus_leases.c.expires <= now, corpus_leases.c.owner == owner)
        if self._alone:
            free = corpus_leases.c.owner.not_in(self._ours - {owner})
        query = new.on_conflict_do_update(
            index_elements=["tenant", "corpus"],
            set_={"owner": new.excluded.owner, "expires": new.excluded.expires},
            where=free,
        ).returning(corpus_leases.c.owner)
        async with transaction(self._engine) as sql:
            taken = (await sql.execute(query)).first() is not None
        if taken:
            self._ours.add(owner)
        return taken

    async def renew(self, corpus: CorpusRef, owner: str, lease_s: float) -> bool:
        """Extend; see `Leases.renew`."""
        extend = update(corpus_leases).where(_held(corpus, owner)).values(expires=self._clock.now() + lease_s)
        async with transaction(self._engine) as sql:
            return (await sql.execute(extend)).rowcount > 0

    async def release(self, corpus: CorpusRef, owner: str) -> None:
        """Give it back."""
        async with transaction(self._engine) as sql:
            await sql.execute(delete(corpus_leases).where(_held(corpus, owner)))
        self._ours.discard(owner)


def _held(corpus: CorpusRef, owner: str) -> ColumnElement[bool]:
    return and_(
        corpus_leases.c.tenant == corpus.tenant,
        corpus_leases.c.corpus == corpus.name,
        corpus_leases.c.owner == owner,
    )
