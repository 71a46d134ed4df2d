"""Answers without a model: does the quoted text hold the answer, and does the engine know when nothing does?

    python -m loadtests.bench_extractive --data DIR [--cache DIR] [--quick] [--check] [--json FILE] [--words]
                                         [--model NAME]

Questions of PIAF (French) and XQuAD (English), whose answers are spans of one known passage. Passages come
from the product's retriever over the whole public set. Weights are chosen on one half of the questions and
measured on the other, both ways ("fitted"); those fitted on all questions are printed, and shipped. "Gated"
is the product: retrieval's own no-answer gate stands before the engine's, and nothing is quoted where it is
sure of no passage. A citation is supported if the passage it names scores as sure.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np

from backend.calibration.base import Calibration
from backend.calibration.files import calibration_for
from backend.calibration.quoting import holds
from backend.config import Embedding, Retrieval
from backend.core.types import Language, Scored
from backend.embedding.base import Vectors
from backend.engines.extractive import (
    COMPARED,
    MAX_BLOCK_CHARS,
    MAX_QUOTES,
    SURE,
    ExtractiveEngine,
)
from backend.engines.ranking import Quote, Signs, Weights, found
from backend.retrieval.base import Hit
from backend.retrieval.gate import Gate
from backend.retrieval.lexical_tantivy import TantivyIndex
from backend.retrieval.memory import MemoryDenseIndex
from loadtests import qa
from loadtests.bench import Report, arguments, data_file, percentile, read_jsonl
from loadtests.qa import CORPUS, QA, Question
from loadtests.replay import NO_FOLDER, Replayed, retriever

SOURCES = ("piaf", "xquad")
FALSE_ABSTENTION = 0.05
Known = tuple[np.ndarray, np.ndarray]
Given = tuple[Scored, ...]

BY_WORDS = calibration_for("", NO_FOLDER).by_words
SPANS = {"fr": 0.62, "en": 0.85}
SILENT, WRONGLY_SILENT = 0.497, 0.060
"""As measured before lists, tables and code were quoted, with all-MiniLM-L6-v2."""
SIGNS = tuple(field.name for field in fields(Signs))


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A question, its answer, and what is given to the engine: as retrieved, gold alone, gold taken out.

    `gated` and `gated_without` are what retrieval's own no-answer gate lets through.
    """

    question: Question
    answer: str
    gold: Given
    retrieved: Given
    without: Given
    gated: Given
    gated_without: Given

    @property
    def half(self) -> int:
        return zlib.crc32(self.question.id.encode()) % 2


Of = Callable[[Case], Given]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the engine said; no sentences: that it does not know."""

    language: str
    quotes: int
    chars: int
    holds: bool
    supported: bool
    ms: float


class Nearness:
    """Similarities computed beforehand."""

    def __init__(self, questions: dict[str, Vectors], sentences: dict[str, Vectors]) -> None:
        self._questions = questions
        self._sentences = sentences

    async def __call__(self, question: str, sentences: Sequence[str]) -> Vectors:
        return np.stack([self._sentences[one] for one in sentences]) @ self._questions[question]


async def retrieve(
    data: QA,
    vectors: Vectors,
    questions: dict[str, Vectors],
    chosen: Sequence[Question],
    calibration: Calibration,
) -> list[Case]:
    """Every question through the product's retriever, with and without the passages that answer it."""
    dense, lexical = MemoryDenseIndex(), TantivyIndex(None)
    await dense.add(CORPUS, data.passages, vectors)
    await lexical.add(CORPUS, data.passages)
    gated = calibration.fusion.over(Retrieval(index_timeout_s=60.0))
    settings = gated.model_copy(update={"no_answer_threshold": 0.0})
    by_id = {passage.id: passage for passage in data.passages}
    cases = []
    for question in chosen:
        near = list(await dense.search(CORPUS, questions[question.text], settings.candidates))
        worded = list(await lexical.search(CORPUS, question.text, question.language, settings.candidates))
        given = [
            await ask(question, near, worded, hidden, some, calibration.gate)
            for some in (settings, gated)
            for hidden in (frozenset(), question.relevant)
        ]
        gold = tuple(Scored(by_id[id], 0.0) for id in sorted(question.relevant))
        retrieved, without = (tuple(replace(one, score=0.0) for one in some) for some in given[:2])
        cases.append(Case(question, "", gold, retrieved, without, *map(sure, given[2:])))
    return cases


def sure(given: Given) -> Given:
    """What the engine is asked about: nothing, where retrieval is sure of no passage."""
    return given if any(one.score >= SURE for one in given) else ()


async def ask(
    question: Question,
    near: list[Hit],
    worded: list[Hit],
    hidden: frozenset[str],
    settings: Retrieval,
    gate: Gate,
) -> Given:
    """What the product's retriever makes of these hits, less the hidden ones."""

    def shown(hits: list[Hit]) -> Replayed:
        return Replayed([question], {question.text: [hit for hit in hits if hit.passage.id not in hidden]})

    made = retriever(shown(near), shown(near), shown(worded), settings, gate)
    result = await made.retrieve(
        [CORPUS], question.text, question.language, budget_tokens=settings.budget_tokens
    )
    return result.passages


async def measured(
    cases: Sequence[Case],
    given: Of,
    engine: Callable[[Case], ExtractiveEngine],
) -> list[Outcome]:
    """One answer for each question."""
    outcomes = []
    for case in cases:
        began = time.perf_counter()
        passages = given(case)
        quotes = await engine(case).quotes(case.question.text, passages, case.question.language)
        ms = (time.perf_counter() - began) * 1000
        text = " ".join(quote.text for quote in quotes)
        chars = sum(len(f" {quote.unit.shown} [{quote.n}]") for quote in quotes) - 1
        supported = all(passages[quote.n - 1].score >= SURE for quote in quotes)
        right = holds(text, case.answer)
        outcomes.append(Outcome(case.question.language, len(quotes), max(0, chars), right, supported, ms))
    return outcomes


async def examples(cases: Sequence[Case], nearness: Nearness | None) -> list[Known]:
    """Signs and truth of every sentence considered, for each question."""
    made = []
    for case in cases:
        some: list[Quote] = found(case.question.text, [one.passage for one in case.retrieved])
        if nearness is not None and some:
            some = sorted(some, key=lambda one: -BY_WORDS.likelihood(one.signs))[:COMPARED]
            near = await nearness(case.question.text, [one.text for one in some])
            some = [
                replace(one, signs=replace(one.signs, meaning=float(value)))
                for one, value in zip(some, near, strict=True)
            ]
        signs = np.array([astuple(one.signs) for one in some]).reshape(-1, len(SIGNS))
        made.append((signs, np.array([holds(one.text, case.answer) for one in some], float)))
    return made


def fitted(cases: Sequence[Case], some: Sequence[Known], *, meaning: bool) -> Weights:
    """A logistic regression by Newton's method, and thresholds that keep false abstention at its bound."""
    signs = np.concatenate([one[0] for one in some])[:, : len(SIGNS) if meaning else -1]
    truth = np.concatenate([one[1] for one in some])
    rows = np.c_[np.ones(len(signs)), signs]
    weights = np.zeros(rows.shape[1])
    ridge = np.diag([0.0, *[0.01] * (rows.shape[1] - 1)])
    for _ in range(30):
        p = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (p - truth) + ridge @ weights
        curve = (rows * (p * (1 - p))[:, None]).T @ rows + ridge
        weights -= np.linalg.solve(curve, slope)
    made = Weights({}, *(float(round(w, 2)) for w in weights))
    best: dict[Language, list[float]] = {"fr": [], "en": []}
    for case, (rows, _) in zip(cases, some, strict=True):
        best[case.question.language].append(max((made.likelihood(Signs(*row)) for row in rows), default=0.0))
    thresholds = {name: round(float(np.quantile(of, FALSE_ABSTENTION)), 3) for name, of in best.items()}
    return replace(made, thresholds=thresholds)


async def cross_fitted(cases: Sequence[Case], nearness: Nearness | None) -> tuple[list[Weights], Weights]:
    """Weights for each half, fitted on the other; and those of all."""
    known = dict(zip(cases, await examples(cases, nearness), strict=True))
    made = []
    for some in ([c for c in cases if c.half == 1], [c for c in cases if c.half == 0], cases):
        made.append(fitted(some, [known[case] for case in some], meaning=nearness is not None))
    return made[:2], made[2]


def engines(halves: Sequence[Weights], nearness: Nearness | None) -> Callable[[Case], ExtractiveEngine]:
    if nearness is None:
        made = [ExtractiveEngine(by_words=weights) for weights in halves]
    else:
        made = [ExtractiveEngine(nearness, by_words=BY_WORDS, by_meaning=weights) for weights in halves]
    return lambda case: made[case.half]


async def measure(
    report: Report, cases: Sequence[Case], shipped: Weights, nearness: Nearness | None, name: str
) -> None:
    """One way of ranking: quality, abstention, speed."""
    halves, whole = await cross_fitted(cases, nearness)
    report.say(f"{name}, on all questions: {whole}")
    report.record(f"weights {name}", str(whole))
    rows, abstained = [], []
    ways: tuple[tuple[str, Sequence[Weights], Of, Of], ...] = (
        ("fitted", halves, lambda c: c.retrieved, lambda c: c.without),
        ("shipped", (shipped, shipped), lambda c: c.retrieved, lambda c: c.without),
        ("shipped, gated", (shipped, shipped), lambda c: c.gated, lambda c: c.gated_without),
    )
    for label, weights, full, bare in ways:
        engine = engines(weights, nearness)
        retrieved, gold, without = [
            await measured(cases, given, engine) for given in (full, lambda c: c.gold, bare)
        ]
        for language in ("fr", "en", "all"):
            some = [
                [o for o in part if language in (o.language, "all")] for part in (retrieved, gold, without)
            ]
            rows.append((label, language, share(some[0]), share(some[1]), *shape(some[0])))
            abstained.append((label, language, silent(some[2]), silent(some[0]), silent(some[1])))
        over = sum(o.quotes > MAX_QUOTES or o.chars > MAX_BLOCK_CHARS for o in (*retrieved, *gold, *without))
        report.bar(f"answers that are too long ({name}, {label})", over, at_most=0)
        if label == "fitted" and nearness is not None:
            bars(report, retrieved, without)
        if label == "shipped, gated":
            backed = sum(o.supported for o in (*retrieved, *without)) / len(retrieved + without)
            report.bar(f"answers whose citations are all supported ({name})", backed, at_least=1.0)
        ms = [o.ms for o in retrieved]
    report.table(
        f"Ranking {name}: time of one answer (similarities known beforehand), ms",
        ("p50", "p99"),
        [(percentile(ms, 50), percentile(ms, 99))],
    )
    report.table(
        f"Ranking {name}: the answer holds the gold span",
        ("weights", "language", "as retrieved", "gold given", "quotes", "chars"),
        rows,
    )
    report.table(
        f"Ranking {name}: it says that it does not know",
        ("weights", "language", "gold taken out", "as retrieved", "gold given"),
        abstained,
    )


def bars(report: Report, retrieved: Sequence[Outcome], without: Sequence[Outcome]) -> None:
    """Spans by language, and abstention no worse than it was."""
    for language, least in SPANS.items():
        some = [o for o in retrieved if o.language == language]
        report.bar(f"gold span quoted, {language}", share(some), at_least=least)
    report.bar("does not know, gold taken out", silent(without), at_least=SILENT)
    report.bar("does not know, though the gold is there", silent(retrieved), at_most=WRONGLY_SILENT)


def share(outcomes: Sequence[Outcome]) -> float:
    return sum(o.holds for o in outcomes) / max(1, len(outcomes))


def silent(outcomes: Sequence[Outcome]) -> float:
    return sum(o.quotes == 0 for o in outcomes) / max(1, len(outcomes))


def shape(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """Mean quotes and characters of the answers given."""
    given = [o for o in outcomes if o.quotes] or list(outcomes)
    return sum(o.quotes for o in given) / len(given), sum(o.chars for o in given) / len(given)


def sampled(data: QA) -> QA:
    """Every twelfth question and the passages of the two sources: easier than the whole."""
    return QA([p for p in data.passages if p.name in SOURCES], data.questions[::12])


async def run(args: argparse.Namespace, report: Report, folder: Path) -> None:
    data = qa.load(args)
    answers = {
        row["id"]: row["answer"]
        for row in read_jsonl(data_file(args, "qa_questions.jsonl"))
        if row["source"] in SOURCES and row["answer"]
    }
    if args.quick:
        data = sampled(data)
    section, cache = Embedding(), args.cache
    embedder = qa.embedder(
        (cache or folder) / "models",
        name=args.model,
        runtime=section.runtime,
        precision=section.precision,
        threads=2,
    )
    calibration = calibration_for(embedder.id, NO_FOLDER)
    vectors = await qa.passage_vectors(embedder, [p.indexed_text for p in data.passages], cache)
    asked = await qa.query_vectors(embedder, [q.text for q in data.questions], cache)
    questions = dict(zip((q.text for q in data.questions), asked, strict=True))
    chosen = [q for q in data.questions if q.id in answers]
    cases = [
        replace(case, answer=answers[case.question.id])
        for case in await retrieve(data, vectors, questions, chosen, calibration)
    ]
    in_hand = sum(any(p.passage.id in c.question.relevant for p in c.retrieved) for c in cases) / len(cases)
    report.say(
        f"{len(data.passages)} passages, {len(cases)} questions, gold passage retrieved for {in_hand:.3f}"
    )
    report.record("gold_passage_retrieved", in_hand)
    elsewhere = sum(any(holds(p.passage.text, c.answer) for p in c.without) for c in cases) / len(cases)
    report.say(f"with the gold passage taken out, another one holds the answer's words for {elsewhere:.3f}")
    report.record("answer_words_in_other_passages", elsewhere)
    await measure(report, cases, BY_WORDS, None, "by words")
    if not args.words:
        texts = sorted({one for case in cases for one in considered(case)})
        rows = await qa.passage_vectors(embedder, texts, cache, "sentences")
        nearness = Nearness(questions, dict(zip(texts, rows, strict=True)))
        await measure(report, cases, calibration.by_meaning or BY_WORDS, nearness, "by words and meaning")


def considered(case: Case) -> list[str]:
    """Quotes whose meaning the engine may ask for: where some passages score as sure, those of them alone."""
    return [
        one.text
        for given in (case.retrieved, case.gold, case.without, case.gated, case.gated_without)
        for one in sorted(_may_be_quoted(case, given), key=lambda one: -BY_WORDS.likelihood(one.signs))[
            :COMPARED
        ]
    ]


def _may_be_quoted(case: Case, given: Given) -> list[Quote]:
    sure = {n for n, one in enumerate(given, 1) if one.score >= SURE}
    everything = found(case.question.text, [one.passage for one in given])
    return [quote for quote in everything if not sure or quote.n in sure]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it."""

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--cache", type=Path, default=None, metavar="DIR", help="keep vectors here")
        parser.add_argument("--model", default=Embedding().model, metavar="NAME", help="the embedder")
        parser.add_argument("--words", action="store_true", help="leave out the ranking by meaning")

    args = arguments("Answers quoted without a model.", argv, more=more)
    report = Report("bench_extractive")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(args, report, Path(folder)))
    return report.finish(args)


if __name__ == "__main__":
    sys.exit(main())
