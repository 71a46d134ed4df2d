"""What runs the embedding model: speed of each runtime, and what the questions then find.

    python -m loadtests.bench_embedding --data DIR [--cache DIR] [--places] [--quick] [--check] [--json FILE]

Quality is recall@5 and MRR@10 of exact dense search alone, where a worse vector shows most. Without
`--cache` it is measured on every ninth passage and the questions these answer: easier than the whole set,
the same for all.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from backend.config import Settings
from backend.core.clock import SystemClock
from backend.embedding.base import Embedder, Vectors
from backend.embedding.models import Precision
from backend.wiring.embedder import open_embedder
from devstack.child import in_thread
from devstack.embedder import embedding_service
from loadtests import qa
from loadtests.bench import Report, arguments, percentile
from loadtests.qa import QA, Question


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the model."""

    runtime: str
    precision: Precision
    threads: int

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}, {self.threads} thread{'s' * (self.threads > 1)}"


_KINDS: Sequence[tuple[str, Precision]] = (("torch", "fp32"), ("onnx", "fp32"), ("onnx", "int8"))
VARIANTS = [
    Variant(runtime, precision, threads)
    for runtime, precision in _KINDS
    if runtime != "torch" or find_spec("sentence_transformers")
    for threads in (1, 2)
]


async def single_ms(embedder: Embedder, questions: Sequence[Question]) -> list[float]:
    """Milliseconds of one question at a time, from the event loop and back."""
    ms = []
    for question in questions:
        began = time.perf_counter()
        await embedder.embed_queries([question.text])
        ms.append((time.perf_counter() - began) * 1000)
    return ms


async def beside_ingest_ms(
    embedder: Embedder, questions: Sequence[Question], texts: Sequence[str]
) -> list[float]:
    """The same while passages are embedded without a pause."""
    busy = asyncio.ensure_future(_endless(embedder, texts))
    await asyncio.sleep(0.2)
    try:
        return await single_ms(embedder, questions)
    finally:
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)


async def _endless(embedder: Embedder, texts: Sequence[str]) -> None:
    while True:
        await embedder.embed_passages(texts)


def quality(
    questions: Sequence[Question], ids: Sequence[str], rows: Vectors, passages: Vectors
) -> tuple[float, float]:
    """recall@5 and MRR@10 of exact search."""
    order = np.argsort(-(rows @ passages.T), axis=1)[:, :10]
    places = [
        next((i for i, column in enumerate(best) if ids[column] in question.relevant), None)
        for question, best in zip(questions, order, strict=True)
    ]
    recall = np.mean([place is not None and place < 5 for place in places])
    return float(recall), float(np.mean([0.0 if place is None else 1 / (place + 1) for place in places]))


def sampled(data: QA, step: int) -> QA:
    """Every `step`-th passage and the questions these answer."""
    passages = data.passages[::step]
    held = {passage.id for passage in passages}
    return QA(passages, [question for question in data.questions if question.relevant & held])


async def vectors_of(embedder: Embedder, data: QA, cache: Path | None) -> tuple[Vectors, Vectors]:
    """Of all questions, and of all passages."""
    queries = await qa.query_vectors(embedder, [q.text for q in data.questions], cache)
    return queries, await qa.passage_vectors(embedder, [p.indexed_text for p in data.passages], cache)


async def speeds(report: Report, data: QA, models: Path, quick: bool) -> None:
    """One row a variant."""
    questions = data.questions[:: max(1, len(data.questions) // (20 if quick else 200))]
    texts = [p.indexed_text for p in data.passages[:: max(1, len(data.passages) // (24 if quick else 128))]]
    rows = []
    for variant in VARIANTS[::2] if quick else VARIANTS:
        embedder = qa.embedder(
            models,
            name="all-MiniLM-L6-v2",
            runtime=variant.runtime,
            precision=variant.precision,
            threads=variant.threads,
        )
        began = time.perf_counter()
        await embedder.warm()
        load_s = time.perf_counter() - began
        alone = await single_ms(embedder, questions)
        began = time.perf_counter()
        await embedder.embed_passages(texts)
        rate = len(texts) / (time.perf_counter() - began)
        beside = await beside_ingest_ms(embedder, questions[: len(questions) // 2], texts)
        embedder.close()
        p50s = (percentile(alone, 50), percentile(alone, 95), percentile(beside, 50), percentile(beside, 95))
        rows.append((str(variant), *p50s, rate, load_s))
    columns = (
        "runtime",
        "question p50 ms",
        "p95",
        "p50 beside ingest",
        "p95 beside",
        "passages/s",
        "first load s",
    )
    report.table("Speed", columns, rows, key="speed")


async def places(report: Report, data: QA, models: Path, quick: bool) -> None:
    """The model in this process, and in `serve-embeddings` beside it."""
    questions = data.questions[:: max(1, len(data.questions) // (60 if quick else 400))]
    texts = [p.indexed_text for p in data.passages[:: max(1, len(data.passages) // (48 if quick else 256))]]
    environment = {"LIBRI_DATA__MODELS_DIR": str(models)}
    rows: list[tuple[str | float, ...]] = []
    p50s = []
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(in_thread(embedding_service(environment)))
        for name, url in (("in this process", ""), ("served", served.url)):
            section = {"url": url, "timeout_s": 30, "passages_timeout_s": 600}
            settings = Settings.model_validate({"data": {"models_dir": models}, "embedding": section})
            embedder = await open_embedder(stack, settings, SystemClock())
            await embedder.embed_queries(["warm"])
            alone = await single_ms(embedder, questions)
            began = time.perf_counter()
            await embedder.embed_passages(texts)
            rate = len(texts) / (time.perf_counter() - began)
            beside = await beside_ingest_ms(embedder, questions[: len(questions) // 2], texts)
            shown = [percentile(some, at) for some in (alone, beside) for at in (50, 99)]
            rows.append((name, *shown, rate, await together_per_s(embedder, questions)))
            p50s.append(shown[0])
    columns = (
        "model",
        "question p50 ms",
        "p99",
        "p50 beside ingest",
        "p99 beside",
        "passages/s",
        "32 at once, /s",
    )
    report.table("Here and served", columns, rows, key="places")
    report.bar("a question served, as many times as long as here (p50)", p50s[1] / p50s[0], at_most=3.0)


async def together_per_s(embedder: Embedder, questions: Sequence[Question]) -> float:
    """Questions answered a second, asked by 32 readers at once."""
    waiting = iter(questions)

    async def reader() -> None:
        for question in waiting:
            await embedder.embed_queries([question.text])

    began = time.perf_counter()
    await asyncio.gather(*(reader() for _ in range(32)))
    return len(questions) / (time.perf_counter() - began)


async def qualities(report: Report, data: QA, models: Path, cache: Path | None) -> None:
    """Precisions against each other; the runtimes agree to 1e-4, which a contract test asserts."""
    rows, by_precision = [], {}
    for precision in ("fp32", "int8"):
        embedder = qa.embedder(
            models, name="all-MiniLM-L6-v2", runtime="onnx", precision=precision, threads=2
        )
        by_precision[precision] = await vectors_of(embedder, data, cache)
        embedder.close()
    ids = [p.id for p in data.passages]
    for precision, (queries, passages) in by_precision.items():
        for language in ("fr", "en"):
            some = [i for i, q in enumerate(data.questions) if q.language == language]
            recall, mrr = quality([data.questions[i] for i in some], ids, queries[some], passages)
            rows.append((precision, language, len(some), recall, mrr))
    report.table(
        "Dense search alone",
        ("precision", "language", "questions", "recall@5", "MRR@10"),
        rows,
        key="quality",
    )
    agreement = (by_precision["fp32"][1] * by_precision["int8"][1]).sum(axis=1)
    report.record("cosine_int8_fp32", {"min": float(agreement.min()), "p50": float(np.median(agreement))})
    report.say(
        f"cosine of int8 and fp32 passages: min {agreement.min():.3f}, median {np.median(agreement):.3f}"
    )
    recalls = {(row[0], row[1]): float(row[3]) for row in rows}
    for language in ("fr", "en"):
        loss = recalls["fp32", language] - recalls["int8", language]
        report.bar(f"recall@5 lost by int8, {language}", loss, at_most=0.01)


async def run(args: argparse.Namespace, report: Report, folder: Path) -> None:
    """Both tables."""
    data = qa.load(args)
    models = args.cache / "models" if args.cache else folder / "models"
    if args.places:
        await places(report, data, models, args.quick)
        return
    await speeds(report, data, models, args.quick)
    whole = args.cache is not None and not args.quick
    await qualities(report, data if whole else sampled(data, 36 if args.quick else 9), models, args.cache)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write, check."""

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--cache", type=Path, default=None, help="keep vectors and model files here")
        parser.add_argument("--places", action="store_true", help="only: in this process, or served")

    args = arguments("Speed and quality of the ways to run the embedding model.", argv, more=more)
    report = Report("bench_embedding")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(args, report, Path(folder)))
    return report.finish(args)


if __name__ == "__main__":
    raise SystemExit(main())
