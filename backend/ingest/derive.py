"""Indexes made from SQL: what they lack is added, what they should not hold is removed.

A process that writes documents puts their passages into its indexes before they are live, so it finds nothing
to do here. What it does here is for an index that was lost, and for one that others do not write to.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from backend.core.clock import Clock
from backend.core.errors import Unavailable
from backend.core.types import Passage
from backend.corpus.base import Contents, CorpusRef, WritableCatalogue
from backend.embedding.base import Embedder
from backend.ingest.jobs import JobStore
from backend.retrieval.base import DenseIndex, LexicalIndex

log = logging.getLogger(__name__)

PORTION_PASSAGES = 256
"""Embedded under one hold of a corpus's lease; then new documents have their turn."""
IndexName = Literal["dense", "lexical"]
BOTH: Final[tuple[IndexName, ...]] = ("dense", "lexical")
NEW = "new"
"""The version that an index of a corpus without documents is said to hold."""
LOOK_EVERY_S = 60.0
"""An index that is lost while the process runs is found out within this time."""
LOOK_AT_SHARED_EVERY_S = 5.0
"""Likewise, where it may come back empty and one look at its note tells."""
PORTION_DOCUMENTS = 100
"""Whose passages are taken over from the lexical index likewise."""


@dataclass(slots=True)
class _State:
    """What is known of one corpus in one index.

    Attributes:
        version: That the index was found, or made, to hold; "" before the first look. Ends with "+" while
            the index holds besides what is no longer live.
        revisions: Whole in the index, live or waiting to be removed.
    """

    version: str = ""
    revisions: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Derivation:
    """Keeps indexes to what SQL holds. Who changes one has the corpus's lease, or the lock of the index.

    Attributes:
        keeps: Which of the indexes.
        shared: Other processes keep them as well; what they say that they hold is believed.
    """

    catalogue: WritableCatalogue
    jobs: JobStore
    embedder: Embedder
    dense: DenseIndex
    lexical: LexicalIndex
    clock: Clock
    keeps: tuple[IndexName, ...] = BOTH
    shared: bool = False
    _looked: float = -LOOK_EVERY_S
    _kept_by_others: dict[CorpusRef, str] = field(default_factory=dict)
    _states: dict[tuple[CorpusRef, str], _State] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    async def behind(self) -> Sequence[CorpusRef]:
        """Corpora that changed since they were last looked at, or still hold what was removed; at times all.

        Raises:
            StorageUnavailable
        """
        versions = await self.catalogue.versions()
        every_s = LOOK_AT_SHARED_EVERY_S if self.shared else LOOK_EVERY_S
        again = self.clock.monotonic() - self._looked >= every_s
        if again:
            self._looked = self.clock.monotonic()
            self._kept_by_others.clear()
        behind = [
            corpus for corpus, version in versions.items() if again or not self._is_settled(corpus, version)
        ]
        if not self.shared:
            return behind
        return [corpus for corpus in behind if not await self._others_keep(corpus, versions[corpus])]

    async def begin(self, corpus: CorpusRef) -> None:
        """Note what the indexes hold before documents are written; of a new corpus, they hold all there is.

        Raises:
            Unavailable
        """
        version = (await self.catalogue.live(corpus)).version
        if version and self._is_settled(corpus, version):
            return
        contents = await self.catalogue.contents(corpus)
        is_new = not contents.passages and not contents.bare
        for name, index in self._indexes.items():
            if not is_new:
                await self._found_whole(corpus, name, contents)
            elif not await index.held(corpus):
                await index.hold(corpus, contents.version or NEW)

    async def catch_up(self, corpus: CorpusRef) -> bool:
        """Bring both indexes closer to SQL; whether more is to be done at once.

        Raises:
            Unavailable: An index, the embedder or the database is down or full.
        """
        contents = await self.catalogue.contents(corpus)
        waiting = [one for one in contents.bare if one not in self._asked]
        if waiting and "dense" in self.keeps:
            await self._fill(corpus, waiting[:PORTION_DOCUMENTS], contents)
            return True
        more, failures = False, []
        for name in self._indexes:
            try:
                more |= await self._follow(corpus, name, contents)
            except Unavailable as exc:  # the other one goes on
                failures.append(exc)
        if failures:
            raise failures[0]
        return more

    async def tidy(self, corpus: CorpusRef, *, older_than_s: float) -> None:
        """Remove passages of revisions that are not live, here and from the list of them.

        Raises:
            Unavailable
        """
        if revisions := await self.catalogue.left_over(corpus, older_than_s=older_than_s):
            for name, index in self._indexes.items():
                await index.remove(corpus, revisions)
                self._state(corpus, name).revisions.difference_update(revisions)
            await self.catalogue.cleared(corpus, revisions)

    def _is_settled(self, corpus: CorpusRef, version: str) -> bool:
        return all(self._state(corpus, name).version == version for name in self._indexes)

    async def _others_keep(self, corpus: CorpusRef, version: str) -> bool:
        """Whether the shared index says that it holds `version`: then nobody needs the lease."""
        if self._kept_by_others.get(corpus) != version:
            try:
                for name, index in self._indexes.items():
                    if self._state(corpus, name).version == f"{version}+":
                        return False  # it waits for this process to remove what is no longer live
                    if await index.held(corpus) != version:
                        return False
            except Unavailable:
                return False
            self._kept_by_others[corpus] = version
        return True

    async def _found_whole(self, corpus: CorpusRef, name: str, contents: Contents) -> bool:
        """Whether an index holds just what is live, and says so."""
        index, live = self._indexes[name], contents.passages
        if await index.count(corpus) != sum(live.values()) or await index.held(corpus) != contents.version:
            return False
        self._states[corpus, name] = _State(contents.version, set(live))
        return True

    async def _follow(self, corpus: CorpusRef, name: str, contents: Contents) -> bool:
        """One index; whether passages are still missing."""
        index = self._indexes[name]
        live, total = contents.passages, sum(contents.passages.values())
        if await self._found_whole(corpus, name, contents):
            return False
        held = await index.count(corpus)
        if held < sum(live.get(one, 0) for one in self._state(corpus, name).revisions):
            del self._states[corpus, name]  # it was lost under our hands
        state = self._state(corpus, name)
        first = not state.version
        if await self._add_missing(corpus, name, live):
            return True
        if first and held > total:
            await index.keep_only(corpus, {*live, *contents.bare, *await self._listed(corpus)})
        await self._drop(corpus, name, live)
        if await index.held(corpus) != contents.version:
            await index.hold(corpus, contents.version)
        state.version = contents.version if state.revisions == live.keys() else f"{contents.version}+"
        return False

    async def _add_missing(self, corpus: CorpusRef, name: str, live: Mapping[str, int]) -> bool:
        """Add revisions that are not whole, a portion of them; whether others are left."""
        state = self._state(corpus, name)
        unsure = [revision for revision in live if revision not in state.revisions]
        counts = await self._indexes[name].counts(corpus, unsure) if unsure else {}
        missing = [one for one in unsure if counts.get(one, 0) < live[one]]
        state.revisions |= set(unsure) - set(missing)
        if missing:
            log.info("an index is made from SQL", extra={"index": name, "documents": len(missing)})
        added = 0
        for revision in missing:
            if added >= PORTION_PASSAGES:
                return True
            added += await self._add(corpus, name, await self.catalogue.passages(corpus, revision))
            state.revisions.add(revision)
        return False

    async def _add(self, corpus: CorpusRef, name: str, passages: Sequence[Passage]) -> int:
        if name == "lexical":
            await self.lexical.add(corpus, passages)
            return len(passages)
        for first in range(0, len(passages), PORTION_PASSAGES):
            some = passages[first : first + PORTION_PASSAGES]
            vectors = await self.embedder.embed_passages([one.indexed_text for one in some])
            await self.dense.add(corpus, some, vectors)
        return len(passages)

    async def _drop(self, corpus: CorpusRef, name: str, live: Mapping[str, int]) -> None:
        """Remove what is no longer live, but for what `tidy` is to remove once no search needs it."""
        state = self._state(corpus, name)
        if gone := state.revisions - live.keys():
            gone -= set(await self._listed(corpus))
            if gone:
                await self._indexes[name].remove(corpus, sorted(gone))
                state.revisions -= gone

    async def _listed(self, corpus: CorpusRef) -> Sequence[str]:
        return await self.catalogue.left_over(corpus, older_than_s=0)

    async def _fill(self, corpus: CorpusRef, bare: Sequence[str], contents: Contents) -> None:
        """Passages that only the lexical index has, into SQL; what is not whole there is read again."""
        for revision in bare:
            try:
                found = await self.lexical.passages(corpus, revision)
            except Unavailable:
                found = ()
            if not await self.catalogue.fill(corpus, found):
                self._asked.add(revision)
                await self.jobs.reread(corpus, document=contents.bare[revision])

    @property
    def _indexes(self) -> dict[str, DenseIndex | LexicalIndex]:
        return {name: self.dense if name == "dense" else self.lexical for name in self.keeps}

    def _state(self, corpus: CorpusRef, name: str) -> _State:
        return self._states.setdefault((corpus, name), _State())
