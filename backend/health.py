"""A look at each thing the process stands on, bounded, for probes and for the doctor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core.errors import LibriError, LogUnavailable, RetrievalUnavailable, StorageUnavailable
from backend.core.loops import Loops
from backend.corpus.base import Catalogue, CorpusRef, WritableCatalogue
from backend.embedding.base import Embedder
from backend.infra.sql import transaction
from backend.pool.base import Pool
from backend.retrieval.base import DenseIndex, LexicalIndex
from backend.services import Check, Health

CHECK_TIMEOUT_S = 2.0
_INDEX_TIMEOUT_S = 1.5
"""Less than a check has, so that one index that hangs is not taken for both."""
_VIEW_TIMEOUT_S = 0.7


def health_checks(
    engine: AsyncEngine,
    embedder: Embedder,
    dense: DenseIndex,
    lexical: LexicalIndex,
    catalogue: WritableCatalogue,
    pool: Pool,
    corpus: CorpusRef,
    loops: Loops,
) -> Mapping[str, Check]:
    """By name. `embedder` is the one that computes, no cache before it; passages are counted in `corpus`."""

    async def sql() -> str:
        async with transaction(engine) as connection:
            await connection.execute(text("SELECT 1"))
        return engine.dialect.name

    async def embeds() -> str:
        await embedder.embed_queries(["ready?"])
        return embedder.id

    async def retrieval() -> str:
        both: dict[str, DenseIndex | LexicalIndex] = {"dense": dense, "lexical": lexical}
        found = await asyncio.gather(*(_of_index(one, catalogue, corpus) for one in both.values()))
        said = ", ".join(f"{name}: {detail}" for name, (_, detail) in zip(both, found, strict=True))
        if not any(usable for usable, _ in found):
            raise RetrievalUnavailable(f"no index can be searched ({said})")
        return said

    async def meanings() -> str:
        if not await _is_whole(dense, catalogue, corpus):
            raise RetrievalUnavailable(await _progress(dense, catalogue, corpus))
        return embedder.id

    return {
        "sql": partial(_timed, sql, needed=False),
        "retrieval": partial(_timed, retrieval, needed=True),
        "dense": partial(_timed, meanings, needed=False),
        "embedder": partial(_timed, embeds, needed=False),
        "models": partial(_timed, partial(_models, pool), needed=False),
        "background": partial(_timed, partial(_background, loops), needed=False),
    }


def log_check(is_shared: Callable[[], bool]) -> Check:
    """Whether what this process says can be followed, and gone on with, in others."""

    async def log() -> str:
        if not is_shared():
            raise LogUnavailable("answers are in this process alone: Redis does not take them")
        return "shared"

    return partial(_timed, log, needed=False)


async def _of_index(
    index: DenseIndex | LexicalIndex, catalogue: Catalogue, corpus: CorpusRef
) -> tuple[bool, str]:
    """Whether an index is searched, and what it holds."""
    try:
        async with asyncio.timeout(_INDEX_TIMEOUT_S):
            held = await index.count(corpus)
            is_whole = await _is_whole(index, catalogue, corpus)
    except TimeoutError:
        return False, "no answer"
    except LibriError as exc:
        return False, exc.message
    return is_whole, f"{held} passages" + ("" if is_whole else " so far, it is being made")


async def _is_whole(index: DenseIndex | LexicalIndex, catalogue: Catalogue, corpus: CorpusRef) -> bool:
    try:
        async with asyncio.timeout(_VIEW_TIMEOUT_S):
            view = await catalogue.live(corpus)
    except (StorageUnavailable, TimeoutError):  # nobody can tell; the check of the database says so
        return True
    return not view.revisions or await index.covers(corpus, view)


async def _progress(dense: DenseIndex, catalogue: WritableCatalogue, corpus: CorpusRef) -> str:
    """How far an index has come that is being made, as after a change of the embedder."""
    held, contents = await dense.count(corpus), await catalogue.contents(corpus)
    total = sum(contents.passages.values())
    return f"{min(held, total)} of {total} passages are embedded; until all are, the search is by words alone"


async def _models(pool: Pool) -> str:
    offered, instances = await pool.models(), (await pool.status()).instances
    if not instances:
        return "none, by choice"
    aside = ", ".join(f"{one.id} ({one.reason})" for one in instances if one.health != "closed")
    if not offered:
        raise LibriError("no model server answers" + (f": {aside}" if aside else ""))
    return ", ".join(model.info.name for model in offered) + (f"; avoided: {aside}" if aside else "")


async def _background(loops: Loops) -> str:
    if failing := loops.failing():
        raise LibriError(", ".join(f"{name} ({reason})" for name, reason in failing.items()))
    return "all loops go on"


async def _timed(look: Callable[[], Awaitable[str]], *, needed: bool) -> Health:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            detail, ok = await look(), True
    except LibriError as exc:
        detail, ok = exc.message, False
    except TimeoutError:
        detail, ok = "no answer", False
    return Health(ok, needed, time.perf_counter() - began, detail)
