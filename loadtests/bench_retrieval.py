"""Retrieval quality and latency, through the product's own indexes and retriever.

    python -m loadtests.bench_retrieval --data DIR [--cache DIR] [--quick] [--check] [--json FILE] [--fit]

Parameters are chosen by two-fold cross-fitting over all questions: chosen on one half, measured on the other,
and the other way round; the figures are of both measured halves together. Choosing replays the hits that the
real indexes gave, through the real retriever; latencies are of the indexes themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.calibration.base import Fusion
from backend.calibration.files import calibration_for
from backend.config import Embedding, Retrieval
from backend.core.types import Passage
from backend.embedding.base import Embedder, Vectors
from backend.retrieval.base import DenseIndex, Hit
from backend.retrieval.chroma import ChromaIndex
from backend.retrieval.lexical_tantivy import TantivyIndex
from backend.retrieval.search import HybridRetriever
from loadtests import qa
from loadtests.bench import Report, arguments, data_file, percentile, read_jsonl
from loadtests.gate_fit import measure_gate, off_topic
from loadtests.qa import CORPUS, QA, Question
from loadtests.replay import NO_FOLDER, Ranked, Recorded, Replayed, rank_all, retriever

DEPTH = 50
RRF_K = (5.0, 10.0, 20.0, 60.0)
LEXICAL_WEIGHTS = (0.5, 1.0, 2.0, 3.0, 4.0)
PER_DOCUMENT = (1, 2, 3)
TITLE_BOOSTS = (0.1, 0.2, 0.3)
GROUPS: tuple[tuple[str, Callable[[Question], bool]], ...] = (
    ("all", lambda q: True),
    ("French", lambda q: q.language == "fr"),
    ("English (span_question)", lambda q: q.language == "en"),
    ("fr citizen_question", lambda q: q.kind == "citizen_question"),
    ("fr user_phrasing", lambda q: q.kind == "user_phrasing"),
    ("fr span_question", lambda q: q.kind == "span_question" and q.language == "fr"),
    ("fr faq_title", lambda q: q.kind == "faq_title"),
    ("fr sheet_title", lambda q: q.kind == "sheet_title"),
)
# What choosing looks at, each with the same weight. Titles are the question itself in the other two groups.
CHOOSING = ("English (span_question)", "fr citizen_question", "fr user_phrasing", "fr span_question")

BARS = {
    "French": 0.92,
    "English (span_question)": 0.99,
    "fr citizen_question": 0.68,
    "fr user_phrasing": 0.84,
}
# Of the sample that `--quick` takes, in which one question is 0.025 of a group.
QUICK_BARS = {"French": 0.88, "English (span_question)": 0.95, "fr user_phrasing": 0.80}


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of the grid; `sides` turns an index off."""

    rrf_k: float
    lexical_weight: float
    title_boost: float
    per_document: int = 2
    sides: str = "both"

    def __str__(self) -> str:
        fusion = f"rrf_k {self.rrf_k:g}, lexical {self.lexical_weight:g}:1, {self.per_document} a document"
        return f"{fusion}, title boost {self.title_boost:g}"


@dataclass(slots=True)
class Bench:
    """The set, its recorded hits, and rankings already made from them."""

    data: QA
    dense: dict[str, list[Hit]]
    lexical: dict[float, dict[str, list[Hit]]]
    made: dict[Setting, Ranked]

    async def ranked(self, setting: Setting) -> Ranked:
        """Ids by rank, at most ten, for every question."""
        if setting not in self.made:
            dense = Replayed(self.data.questions, self.dense if setting.sides != "lexical" else {})
            lexical = self.lexical[setting.title_boost] if setting.sides != "dense" else {}
            self.made[setting] = await rank_all(
                self.data.questions,
                retriever(dense, dense, Replayed(self.data.questions, lexical), settings_of(setting)),
            )
        return self.made[setting]


def settings_of(setting: Setting) -> Retrieval:
    """The product's settings with ten passages and no gate."""
    return Retrieval(
        rrf_k=setting.rrf_k,
        lexical_weight=setting.lexical_weight,
        title_boost=setting.title_boost,
        per_document=setting.per_document,
        candidates=DEPTH,
        limit=10,
        no_answer_threshold=0.0,
        index_timeout_s=60.0,
    )


def quality(questions: Sequence[Question], ranked: Ranked) -> tuple[float, float]:
    """recall@5 and MRR@10."""
    places = [
        next((i for i, id in enumerate(ranked[q.id][:10]) if id in q.relevant), None) for q in questions
    ]
    recall = sum(place is not None and place < 5 for place in places) / max(1, len(places))
    return recall, sum(0.0 if place is None else 1 / (place + 1) for place in places) / max(1, len(places))


def worth(questions: Sequence[Question], ranked: Ranked) -> float:
    """What choosing maximises: recall@5 + MRR@10, a mean over groups."""
    groups = dict(GROUPS)
    values = []
    for name in CHOOSING:
        some = [q for q in questions if groups[name](q)]
        values.append(sum(quality(some, ranked)))
    return sum(values) / len(values)


def fold(question: Question) -> int:
    """0 or 1, the same at every run."""
    return hashlib.sha256(question.id.encode()).digest()[0] % 2


async def cross_fitted(bench: Bench, grid: Sequence[Setting], report: Report) -> Ranked:
    """Each question ranked with the setting chosen on the other half."""
    pooled: Ranked = {}
    for half in (0, 1):
        chosen = await best(bench, grid, [q for q in bench.data.questions if fold(q) != half])
        report.say(f"chosen on half {1 - half}: {chosen}")
        ranked = await bench.ranked(chosen)
        pooled |= {q.id: ranked[q.id] for q in bench.data.questions if fold(q) == half}
    return pooled


async def best(bench: Bench, grid: Sequence[Setting], questions: Sequence[Question]) -> Setting:
    """The setting of the greatest worth on these questions; the first of equals."""
    values = [worth(questions, await bench.ranked(setting)) for setting in grid]
    return grid[int(np.argmax(values))]


async def record(data: QA, dense: DenseIndex, lexical: dict[float, TantivyIndex], vectors: Vectors) -> Bench:
    """Ask the real indexes once for every question."""
    bench = Bench(data, {}, {boost: {} for boost in lexical}, {})
    for question, vector in zip(data.questions, vectors, strict=True):
        bench.dense[question.text] = list(await dense.search(CORPUS, vector, DEPTH))
        for boost, index in lexical.items():
            hits = await index.search(CORPUS, question.text, question.language, DEPTH)
            bench.lexical[boost][question.text] = list(hits)
    return bench


async def measure_quality(bench: Bench, report: Report, shipped: Fusion, quick: bool) -> None:
    """Dense, lexical and fused, by group."""
    boosts = tuple(bench.lexical)
    ks, weights = ((5.0, 10.0), (1.0, 2.0)) if quick else (RRF_K, LEXICAL_WEIGHTS)
    bounds = (shipped.per_document,) if quick else PER_DOCUMENT
    grid = [Setting(*point) for point in itertools.product(ks, weights, boosts, bounds)]
    boost = Retrieval().title_boost
    ours = Setting(shipped.rrf_k, shipped.lexical_weight, boost, shipped.per_document)
    systems = {
        "dense": await bench.ranked(Setting(10.0, 1.0, boost, sides="dense")),
        "lexical": await bench.ranked(Setting(10.0, 1.0, boost, sides="lexical")),
        "fused, cross-fitted": await cross_fitted(bench, grid, report),
        "fused, defaults": await bench.ranked(ours),
    }
    chosen = await best(bench, grid, bench.data.questions)
    report.say(f"chosen on all questions: {chosen}; defaults: {ours}")
    report.record("chosen_on_all", str(chosen))
    rows = []
    for name, belongs in GROUPS:
        some = [q for q in bench.data.questions if belongs(q)]
        cells = ["{:.3f} / {:.3f}".format(*quality(some, ranked)) for ranked in systems.values()]
        rows.append((name, len(some), *cells))
    report.table("recall@5 / MRR@10", ("questions", "n", *systems), rows, key="quality")
    pooled = systems["fused, cross-fitted"]
    bars = BARS if len(bench.data.passages) > 4000 else QUICK_BARS
    for name, bound in bars.items():
        some = [q for q in bench.data.questions if dict(GROUPS)[name](q)]
        report.bar(f"recall@5 {name}", quality(some, pooled)[0], at_least=bound)


def grown(data: QA, vectors: Vectors, size: int) -> tuple[list[Passage], Vectors]:
    """The set and perturbed copies of it: words shuffled among passages, vectors moved by noise."""
    rng = np.random.default_rng(7)
    passages, rows = list(data.passages), [vectors]
    while len(passages) < size:
        count = min(size - len(passages), len(data.passages))
        noise = rng.normal(0, 0.6 / np.sqrt(vectors.shape[1]), (count, vectors.shape[1]))
        moved = vectors[:count] + noise.astype(np.float32)
        rows.append(moved / np.linalg.norm(moved, axis=1, keepdims=True))
        start = len(passages)
        passages += [_mixed(data.passages, i, start, rng) for i in range(count)]
    return passages, np.concatenate(rows).astype(np.float32)


def _mixed(passages: Sequence[Passage], i: int, start: int, rng: np.random.Generator) -> Passage:
    one, other = passages[i], passages[int(rng.integers(len(passages)))]
    words = one.text.split()[::2] + other.text.split()[::2]
    return Passage(
        id=f"copy-{start + i}",
        document=f"copy-{start + i}",
        revision=qa.REVISION,
        name=one.name,
        title=one.title,
        headings=(),
        text=" ".join(words),
        page=None,
        start=0,
        end=1,
        language=one.language,
    )


async def measure_latency(
    report: Report, folder: Path, embedder: Embedder, data: QA, vectors: Vectors, sizes: Sequence[int]
) -> None:
    """One retrieval at a time, cold question vectors, at several corpus sizes."""
    rows = []
    for size in sizes:
        passages, moved = grown(data, vectors, size)
        dense = ChromaIndex(folder / f"chroma-{size}", embedder.id)
        lexical = TantivyIndex(folder / f"lexical-{size}")
        written = time.perf_counter()
        for start in range(0, size, 1000):
            await dense.add(CORPUS, passages[start : start + 1000], moved[start : start + 1000])
        dense_s = time.perf_counter() - written
        for start in range(0, size, 5000):
            await lexical.add(CORPUS, passages[start : start + 5000])
        lexical_s = time.perf_counter() - written - dense_s
        made = retriever(embedder, dense, lexical, Retrieval())
        ms = await _timed(made, data.questions[:: max(1, len(data.questions) // 300)])
        rows.append((len(passages), percentile(ms, 50), percentile(ms, 99), size / dense_s, size / lexical_s))
        dense.close()
        lexical.close()
    columns = ("passages", "p50 ms", "p99 ms", "dense writes/s", "lexical writes/s")
    report.table("One retrieval, question vector computed", columns, rows, key="latency")


async def _timed(made: HybridRetriever, questions: Sequence[Question]) -> list[float]:
    ms = []
    for i, question in enumerate(questions):
        began = time.perf_counter()
        await made.retrieve([CORPUS], question.text, question.language, budget_tokens=1800)
        if i >= 10:
            ms.append((time.perf_counter() - began) * 1000)
    return ms


def sampled(data: QA) -> QA:
    """Some questions of every kind, what answers them, and a few other passages: easier than the whole."""
    counts: dict[tuple[str, str], int] = {}
    questions = []
    for question in data.questions:
        group = question.kind, question.language
        counts[group] = counts.get(group, 0) + 1
        if counts[group] <= 40:
            questions.append(question)
    needed = {id for question in questions for id in sorted(question.relevant)[:2]}
    passages = [p for i, p in enumerate(data.passages) if p.id in needed or i % 24 == 0]
    return QA(passages, questions)


async def run(args: argparse.Namespace, report: Report, folder: Path) -> None:
    """All measurements."""
    data = qa.load(args)
    cache: Path | None = args.cache
    if args.quick and cache is None:
        data = sampled(data)
    section = Embedding()
    embedder = qa.embedder(
        cache / "models" if cache else folder / "models",
        name=section.model,
        runtime=section.runtime,
        precision=section.precision,
        threads=2,
    )
    report.say(f"{len(data.passages)} passages, {len(data.questions)} questions, {embedder.id}")
    vectors = await qa.passage_vectors(embedder, [p.indexed_text for p in data.passages], cache)
    queries = await qa.query_vectors(embedder, [q.text for q in data.questions], cache)
    dense = ChromaIndex(folder / "chroma", embedder.id)
    for start in range(0, len(data.passages), 100):  # as an ingest writes: the graph depends on it
        await dense.add(CORPUS, data.passages[start : start + 100], vectors[start : start + 100])
    boosts = (Retrieval().title_boost,) if args.quick else TITLE_BOOSTS
    lexical = {boost: TantivyIndex(folder / f"lexical-{boost}", title_boost=boost) for boost in boosts}
    for index in lexical.values():
        await index.add(CORPUS, data.passages)
    bench = await record(data, dense, lexical, queries)
    fusion = calibration_for(embedder.id, NO_FOLDER).fusion
    await measure_quality(bench, report, fusion, args.quick)
    clusters = read_jsonl(data_file(args, "question_clusters.jsonl"))
    hits = Recorded(bench.dense, bench.lexical[Retrieval().title_boost])
    strange = await off_topic(clusters, embedder, dense, lexical[Retrieval().title_boost], hits)
    await measure_gate(report, data.questions, strange, hits, embedder=embedder.id, show_fit=args.fit)
    dense.close()
    for index in lexical.values():
        index.close()
    sizes = (len(data.passages),) if args.quick else (len(data.passages), 100_000)
    await measure_latency(report, folder, embedder, data, vectors, sizes)
    embedder.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write, check."""

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--cache", type=Path, default=None, help="keep vectors and the model file here")
        parser.add_argument("--fit", action="store_true", help="print the coefficients of the no-answer gate")

    args = arguments("Retrieval quality and latency.", argv, more=more)
    report = Report("bench_retrieval")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(args, report, Path(folder)))
    return report.finish(args)


if __name__ == "__main__":
    raise SystemExit(main())
