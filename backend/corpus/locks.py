"""Changes of one corpus that follow each other."""

from __future__ import annotations

from sqlalchemy import Update, and_, update

from backend.corpus.base import CorpusRef
from backend.corpus.tables import corpora


def hold_still(corpus: CorpusRef) -> Update:
    """Changes nothing; until the end of its transaction no other, and no flip, begins for this corpus."""
    here = and_(corpora.c.tenant == corpus.tenant, corpora.c.name == corpus.name)
    return update(corpora).where(here).values(version=corpora.c.version)
