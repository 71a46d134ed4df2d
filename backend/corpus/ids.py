"""Ids that follow from what they name: doing the same work again overwrites instead of duplicating."""

from __future__ import annotations

import hashlib

from backend.corpus.base import CorpusRef


def document_id(corpus: CorpusRef, name: str) -> str:
    """The id of the document `name` of a corpus: 32 hexadecimal digits."""
    return _digest("document", corpus.tenant, corpus.name, name)


def revision_id(corpus: CorpusRef, name: str, content_sha256: str, made_by: str) -> str:
    """The id of what `made_by` makes of this content under this name: 32 hexadecimal digits."""
    return _digest("revision", corpus.tenant, corpus.name, name, content_sha256, made_by)


def passage_id(revision: str, ordinal: int) -> str:
    """The id of the passage number `ordinal` (from 0) of a revision."""
    return f"{revision}-{ordinal}"


def _digest(*parts: str) -> str:
    framed = b"".join(len(data := part.encode()).to_bytes(4, "big") + data for part in parts)
    return hashlib.sha256(framed).hexdigest()[:32]
