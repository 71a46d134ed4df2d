"""The lexical index in tantivy: BM25 over the stems of title, headings and text."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tantivy import Document, Index, IndexWriter, Occur, Query, Schema, SchemaBuilder, Searcher

from backend.core.errors import RetrievalUnavailable, StorageFull
from backend.core.types import Language, Passage
from backend.corpus.base import CorpusRef, LiveView
from backend.retrieval import analysis, payload, spelling
from backend.retrieval.asked import Word, asked
from backend.retrieval.base import Hit
from backend.retrieval.threads import Threads

VERSION: Final = f"2.{analysis.VERSION}"
_JUDGED: Final = 10
_SMALL_CORPUS: Final = 1000
_SAMPLED: Final = 20
_UNKNOWN: Final = 0.5
_HEAP_BYTES: Final = 32_000_000
_HELD: Final = "held"
_META: Final = "meta.json"
_FULL = ("no space left", "disk is full", "disk full")


@dataclass(slots=True)
class _Open:
    """An index that is open in this process.

    Attributes:
        seen: What `_stamp` gave for the commit that is open.
        commits: Of this process; `held` likewise where no file can keep it.
        revisions: That were found in it, and the stamp of that commit; `languages` likewise.
    """

    index: Index
    meta: Path | None
    seen: object = None
    commits: int = 0
    held: str = ""
    revisions: tuple[object, frozenset[str]] = (None, frozenset())
    languages: tuple[object, tuple[Language, ...]] = (None, ())
    lock: threading.Lock = field(default_factory=threading.Lock)


class TantivyIndex:
    """One index for each tenant and corpus; `folder` None keeps them in memory.

    Writers of several processes take turns at the index's own lock file.

    Args:
        title_boost: Weight of title and headings by themselves; they are part of the text as well.
        writer_wait_s: Longest wait for that lock.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        title_boost: float = 0.2,
        workers: int = 4,
        writer_wait_s: float = 30.0,
    ) -> None:
        self._folder = folder
        self._title_boost = title_boost
        self._writer_wait_s = writer_wait_s
        self._threads = Threads("lexical", workers=workers)
        self._schema = _schema()
        self._open: dict[CorpusRef, _Open] = {}
        self._lock = threading.Lock()

    async def add(self, corpus: CorpusRef, passages: Sequence[Passage]) -> None:
        """See `LexicalIndex`."""
        if passages:
            await self._threads.call(lambda: self._write(corpus, lambda w: self._add(w, passages)))

    async def remove(self, corpus: CorpusRef, revisions: Sequence[str]) -> None:
        """See `Derived`."""
        if revisions:
            await self._threads.call(lambda: self._write(corpus, lambda w: _remove(w, revisions)))

    async def search(self, corpus: CorpusRef, question: str, language: Language, limit: int) -> Sequence[Hit]:
        """See `LexicalIndex`."""
        return await self._threads.call(lambda: self._search(corpus, question, language, limit))

    async def passages(self, corpus: CorpusRef, revision: str) -> Sequence[Passage]:
        """See `LexicalIndex`."""
        return await self._threads.call(lambda: self._passages(corpus, revision))

    async def held(self, corpus: CorpusRef) -> str:
        """See `Derived`; a file beside the index, lost with it."""
        return await self._threads.call(lambda: self._held(corpus))

    async def hold(self, corpus: CorpusRef, version: str) -> None:
        """See `Derived`."""
        await self._threads.call(lambda: self._hold(corpus, version))

    async def covers(self, corpus: CorpusRef, view: LiveView) -> bool:
        """See `Derived`; a revision's passages come all in one commit."""
        return await self._threads.call(lambda: view.revisions <= self._revisions(corpus))

    async def counts(self, corpus: CorpusRef, revisions: Collection[str]) -> Mapping[str, int]:
        """See `Derived`."""
        return await self._threads.call(lambda: self._counts(corpus))

    async def keep_only(self, corpus: CorpusRef, revisions: Collection[str]) -> None:
        """See `Derived`."""
        others = await self._threads.call(lambda: self._others(corpus, frozenset(revisions)))
        await self.remove(corpus, others)

    async def count(self, corpus: CorpusRef) -> int:
        """See `Derived`."""
        return await self._threads.call(lambda: self._count(corpus))

    def close(self) -> None:
        """Wait for calls that run."""
        self._threads.close()

    def _write(self, corpus: CorpusRef, change: Callable[[IndexWriter], None]) -> None:
        with _translated():
            opened = self._opened(corpus)
            with opened.lock:
                writer = self._writer(opened.index)
                try:
                    change(writer)
                    writer.commit()
                finally:
                    writer.wait_merging_threads()
                opened.index.reload()
                opened.commits += 1
                opened.seen = _stamp(opened)

    def _add(self, writer: IndexWriter, passages: Sequence[Passage]) -> None:
        for passage in {p.id: p for p in passages}.values():
            writer.delete_documents_by_term("id", passage.id)
            document = Document()
            document.add_text("id", passage.id)
            document.add_text("revision", passage.revision)
            head = "\n".join(dict.fromkeys((passage.title, *passage.headings)))
            document.add_text("language", passage.language)
            document.add_text("title", " ".join(analysis.terms(passage.language, head)))
            document.add_text("all", " ".join(analysis.terms(passage.language, passage.indexed_text)))
            stored = payload.fields(passage) | {"id": passage.id, "text": passage.text}
            document.add_bytes("payload", json.dumps(stored).encode())
            writer.add_document(document)

    def _writer(self, index: Index) -> IndexWriter:
        """A writer; it holds the lock file until its merging threads are waited for."""
        deadline = time.monotonic() + self._writer_wait_s
        while True:
            try:
                return index.writer(_HEAP_BYTES, 1)
            except ValueError as exc:
                if "lock" not in str(exc).lower() or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def _search(self, corpus: CorpusRef, question: str, language: Language, limit: int) -> Sequence[Hit]:
        with _translated():
            searcher = self._searcher(corpus)
            if searcher is None or limit < 1 or not searcher.num_docs:
                return ()
            text = question.encode("utf-8", "replace").decode()  # a lone surrogate is no text
            words = asked(text, language, self._languages(corpus, searcher), _Terms(searcher, self._schema))
            if not (query := self._query(words)):
                return ()
            found = searcher.search(query, limit, count=False).hits
            hits = [Hit(_stored(searcher.doc(address)), float(score)) for score, address in found]
            return [*_covering(searcher, words, hits[:_JUDGED]), *hits[_JUDGED:]]

    def _query(self, words: Sequence[Word]) -> Query | None:
        clauses = []
        for term, weight in {t: w for word in words for t, w in word.terms.items()}.items():
            for name, boost in (("all", 1.0), ("title", self._title_boost)):
                part = Query.term_query(self._schema, name, term, "freq")
                clauses.append((Occur.Should, Query.boost_query(part, weight * boost)))
        return Query.boolean_query(clauses) if clauses else None

    def _languages(self, corpus: CorpusRef, searcher: Searcher) -> Sequence[Language]:
        """Languages of the passages, as of the last commit."""
        opened = self._opened(corpus)
        stamp, found = opened.languages
        if stamp != opened.seen:
            found = tuple(name for name, _ in searcher.terms_with_prefix("language", ""))
            opened.languages = opened.seen, found
        return found

    def _count(self, corpus: CorpusRef) -> int:
        with _translated():
            searcher = self._searcher(corpus)
            return int(searcher.num_docs) if searcher is not None else 0

    def _passages(self, corpus: CorpusRef, revision: str) -> Sequence[Passage]:
        with _translated():
            searcher = self._searcher(corpus)
            if searcher is None or not searcher.num_docs:
                return ()
            asked = Query.term_query(self._schema, "revision", revision, "basic")
            most = max(1, searcher.doc_freq("revision", revision))
            return [_stored(searcher.doc(at)) for _, at in searcher.search(asked, most, count=False).hits]

    def _counts(self, corpus: CorpusRef) -> Mapping[str, int]:
        with _translated():
            searcher = self._searcher(corpus)
            if searcher is None:
                return {}
            return dict(searcher.terms_with_prefix("revision", "", Query.all_query()))  # less what is deleted

    def _revisions(self, corpus: CorpusRef) -> frozenset[str]:
        """Revisions of which passages are here, as of the last commit."""
        with _translated():
            if self._searcher(corpus) is None:
                return frozenset()
            opened = self._opened(corpus)
        stamp, found = opened.revisions
        if stamp != opened.seen:
            stamp, found = opened.seen, frozenset(self._counts(corpus))
            opened.revisions = stamp, found
        return found

    def _others(self, corpus: CorpusRef, revisions: frozenset[str]) -> list[str]:
        """Revisions of which passages are here, but for these."""
        with _translated():
            searcher = self._searcher(corpus)
            here = searcher.terms_with_prefix("revision", "") if searcher is not None else []
            return [one for one, _ in here if one not in revisions]

    def _held(self, corpus: CorpusRef) -> str:
        with _translated():
            if self._searcher(corpus) is None:
                return ""
            opened = self._opened(corpus)
            if opened.meta is None:
                return opened.held
            note = opened.meta.with_name(_HELD)
            return note.read_text("utf-8") if note.is_file() else ""

    def _hold(self, corpus: CorpusRef, version: str) -> None:
        with _translated():
            opened = self._opened(corpus)
            with opened.lock:
                opened.held = version
                if opened.meta is not None:
                    draft = opened.meta.with_name(f"{_HELD}.new")
                    draft.write_text(version, "utf-8")
                    draft.replace(opened.meta.with_name(_HELD))

    def _searcher(self, corpus: CorpusRef) -> Searcher | None:
        """The index as its last writer left it, whichever process that was; None if there is none."""
        if self._folder is not None and not (self._home(corpus) / _META).is_file():
            return None  # only a writer makes it
        opened = self._opened(corpus)
        stamp = _stamp(opened)
        if stamp != opened.seen:
            opened.index.reload()
            opened.seen = stamp
        return opened.index.searcher()

    def _opened(self, corpus: CorpusRef) -> _Open:
        with self._lock:
            opened = self._open.get(corpus)
            if opened is None or (opened.meta is not None and not opened.meta.exists()):  # lost since
                opened = self._open[corpus] = self._new(corpus)
            return opened

    def _new(self, corpus: CorpusRef) -> _Open:
        home = self._home(corpus) if self._folder is not None else None
        if home is not None:
            home.mkdir(parents=True, exist_ok=True)
        index = Index(self._schema, str(home) if home else None)
        index.config_reader("manual")
        return _Open(index, home / _META if home else None)

    def _home(self, corpus: CorpusRef) -> Path:
        digest = hashlib.sha256("\0".join((corpus.tenant, corpus.name, VERSION)).encode()).hexdigest()
        return (self._folder or Path()) / digest[:40]


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of one commit; implements `Lexicon`."""

    searcher: Searcher
    schema: Schema

    def holding(self, term: str) -> int:
        return self.searcher.doc_freq("all", term)

    def nearest(self, term: str, distance: int) -> str | None:
        """Of the terms within the distance that begin alike, the nearest; of those the commonest."""
        query = Query.fuzzy_term_query(self.schema, "all", term, distance)
        near = {
            other: spelling.distance(term, other, distance)
            for _, address in self.searcher.search(query, _SAMPLED, count=False).hits
            for other in _terms_of(_stored(self.searcher.doc(address)))
            if other[0] == term[0]
        }
        some = [other for other, edits in near.items() if edits <= distance]
        return min(some, key=lambda other: (near[other], -self.holding(other), other), default=None)


def _terms_of(passage: Passage) -> frozenset[str]:
    return frozenset(analysis.terms(passage.language, passage.indexed_text))


def _covering(searcher: Searcher, words: Sequence[Word], hits: Sequence[Hit]) -> Iterator[Hit]:
    rarest = _rarity(searcher, 0)
    rarity = [_rarity(searcher, word.holding) if word.holding else rarest * _UNKNOWN for word in words]
    for hit in hits:
        terms = _terms_of(hit.passage)
        mass = sum(rare * word.held(terms) for word, rare in zip(words, rarity, strict=True))
        yield Hit(hit.passage, hit.score, covers=mass / sum(rarity), matched=mass / rarest)


def _rarity(searcher: Searcher, holding: int) -> float:
    """Inverse document frequency, as in BM25; a small corpus says little of how rare a word is."""
    size = max(searcher.num_docs, _SMALL_CORPUS)
    return math.log(1 + (size - holding + 0.5) / (holding + 0.5))


def _schema() -> Schema:
    builder = SchemaBuilder()
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    for name in ("revision", "language"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    # Stems of all languages share a field. With a field each, BM25's mean length counts the passages of the
    # other language as empty, and the rarer language's scores collapse (English recall@5: 0.12 against 0.98).
    for name in ("all", "title"):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
    builder.add_bytes_field("payload", stored=True)
    return builder.build()


def _remove(writer: IndexWriter, revisions: Sequence[str]) -> None:
    for revision in revisions:
        writer.delete_documents_by_term("revision", revision)


def _stored(document: Document) -> Passage:
    stored = json.loads(bytes(document.get_first("payload") or b"{}"))
    return payload.passage(stored["id"], stored["text"], stored)


def _stamp(opened: _Open) -> object:
    """Changes with every commit of any process."""
    if opened.meta is None:
        return opened.commits or None
    status = opened.meta.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size


@contextmanager
def _translated() -> Iterator[None]:
    """Tantivy's errors as ours.

    Raises:
        StorageFull, RetrievalUnavailable
    """
    try:
        yield
    except (ValueError, OSError, RuntimeError) as exc:
        if any(mark in str(exc).lower() for mark in _FULL):
            raise StorageFull("no space is left for the lexical index") from exc
        raise RetrievalUnavailable("the lexical index does not answer") from exc
