"""The no-answer gate: how its coefficients are fitted, and what its threshold costs and catches.

Each question is asked twice of the recorded hits: as it is, and with every passage that answers it taken
out. The first passage found is an example of one that bears on the question (when one that answers is among
the first six), and of one that does not. Fitted on one half of the questions, reported on the other, both
ways round. The coefficients that the product holds are those of all questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.calibration.files import calibration_for
from backend.calibration.fit import auc, logistic
from backend.config import Retrieval
from backend.core.types import Language
from backend.embedding.base import Embedder
from backend.retrieval.base import DenseIndex, LexicalIndex
from backend.retrieval.gate import Fit, Signs
from loadtests.bench import Report
from loadtests.qa import CORPUS, Question
from loadtests.replay import NO_FOLDER, Recorded, replaying

# Of answerable questions, the share that may be refused when the threshold is chosen.
FALSE_ABSTENTION = 0.03


@dataclass(frozen=True, slots=True)
class Example:
    """The first passage found for a question: what is known of it, and whether it answers."""

    question: Question
    signs: Signs
    state: str  # "answered", "removed" (what answers was taken out), "off topic"


async def off_topic(
    clusters: Sequence[dict[str, Any]],
    embedder: Embedder,
    dense: DenseIndex,
    lexical: LexicalIndex,
    hits: Recorded,
    count: int = 150,
) -> list[Question]:
    """Bank and everyday questions, `count` of each, asked of the indexes; nothing there answers them."""
    made = []
    for source in ("banking77", "tatoeba"):
        some = [(text, c["lang"]) for c in clusters if c["source"] == source for text in c["questions"]]
        for i, (text, language) in enumerate(some[:: max(1, len(some) // count)][:count]):
            made.append(Question(f"{source}-{i}", text, language, source, frozenset()))
    vectors = await embedder.embed_queries([question.text for question in made])
    for question, vector in zip(made, vectors, strict=True):
        hits.dense[question.text] = list(await dense.search(CORPUS, vector, 50))
        found = await lexical.search(CORPUS, question.text, question.language, 50)
        hits.lexical[question.text] = list(found)
    return made


async def examples(questions: Sequence[Question], hits: Recorded, state: str) -> list[Example]:
    """First passages of all questions that have one."""
    settings = Retrieval(no_answer_threshold=0.0, limit=10)
    made = replaying(questions, hits, settings)
    found = []
    for question in questions:
        result = await made.retrieve([CORPUS], question.text, question.language, budget_tokens=1_000_000)
        if not result.passages:
            found.append(Example(question, Signs(0.0, 0.0, 0.0), state))
            continue
        first = result.passages[0].passage.id
        cosine = next((h.score for h in hits.dense[question.text] if h.passage.id == first), 0.0)
        words = next(
            ((h.covers, h.matched) for h in hits.lexical[question.text] if h.passage.id == first), (0.0, 0.0)
        )
        right = state != "answered" or bool({s.passage.id for s in result.passages[:6]} & question.relevant)
        if right:
            found.append(Example(question, Signs(max(0.0, cosine), *words), state))
    return found


def without_answers(questions: Sequence[Question], hits: Recorded) -> Recorded:
    """The hits less every passage that answers the question."""
    gone = {question.text: question.relevant for question in questions}

    def less(side: dict[str, Any]) -> dict[str, Any]:
        return {text: [h for h in side[text] if h.passage.id not in ids] for text, ids in gone.items()}

    return Recorded(less(hits.dense), less(hits.lexical))


def fitted(some: Sequence[Example], language: Language, *, cosine: bool, words: bool) -> Fit:
    """The fit for one language, on the signs that are there."""
    mine = [e for e in some if e.question.language == language]
    x = np.array([[e.signs.cosine or 0, e.signs.covers or 0, np.log1p(e.signs.matched or 0)] for e in mine])
    w = logistic(x * [cosine, words, words], np.array([float(e.state == "answered") for e in mine]))
    return Fit(*(round(float(value), 2) for value in w))


def _fold(example: Example) -> int:
    return sum(example.question.id.encode()) % 2


def cross_scored(some: Sequence[Example]) -> tuple[dict[int, float], list[float]]:
    """Score of each example by the fit of the other half, and the threshold chosen on each half."""
    scores: dict[int, float] = {}
    thresholds = []
    for half in (0, 1):
        train = [e for e in some if _fold(e) != half]
        fits = {name: fitted(train, name, cosine=True, words=True) for name in ("fr", "en")}
        answered = [fits[e.question.language](e.signs) for e in train if e.state == "answered"]
        thresholds.append(float(np.quantile(answered, FALSE_ABSTENTION)))
        scores |= {i: fits[e.question.language](e.signs) for i, e in enumerate(some) if _fold(e) == half}
    return scores, thresholds


async def measure_gate(
    report: Report,
    questions: Sequence[Question],
    strange: Sequence[Question],
    hits: Recorded,
    *,
    embedder: str,
    show_fit: bool,
) -> None:
    """False abstention against abstention where nothing answers, on the half not fitted on."""
    known = await examples(questions, hits, "answered")
    known += await examples(questions, without_answers(questions, hits), "removed")
    scores, thresholds = cross_scored(known)
    report.say("thresholds chosen on each half: " + ", ".join(f"{t:.3f}" for t in thresholds))
    report.record("gate_thresholds", thresholds)
    rows = []
    for name, kinds in _kinds(known).items():
        mine = [i for i, e in enumerate(known) if e.question.kind in kinds and _named(e, name)]
        here = {
            state: [(scores[i], thresholds[_fold(known[i])]) for i in mine if known[i].state == state]
            for state in ("answered", "removed")
        }
        share = {state: float(np.mean([s < t for s, t in pairs])) for state, pairs in here.items() if pairs}
        area = auc([s for s, _ in here["answered"]], [s for s, _ in here["removed"]])
        rows.append((name, share.get("answered", 0.0), share.get("removed", 0.0), area))
    columns = ("questions", "false abstention", "abstention, answer removed", "AUC")
    report.table("No-answer gate, cross-fitted", columns, rows, key="gate")
    await _held(report, known, await examples(strange, hits, "off topic"), embedder)
    if show_fit:
        _show(report, known)


def _kinds(known: Sequence[Example]) -> dict[str, set[str]]:
    every = {e.question.kind for e in known}
    return {"fr": every, "en": every} | {kind: {kind} for kind in sorted(every)}


def _named(example: Example, name: str) -> bool:
    return name not in ("fr", "en") or example.question.language == name


async def _held(report: Report, known: Sequence[Example], strange: Sequence[Example], embedder: str) -> None:
    """The same with the coefficients and the threshold that the product holds."""
    threshold = Retrieval().no_answer_threshold
    gate = calibration_for(embedder, NO_FOLDER).gate
    rows = []
    for state, some in (("answered", known), ("removed", known), ("off topic", strange)):
        for language in ("fr", "en"):
            mine = [e for e in some if e.state == state and e.question.language == language]
            if mine:
                below = [(gate.bearing(e.signs, e.question.language) or 0.0) < threshold for e in mine]
                rows.append((state, language, len(mine), float(np.mean(below))))
    columns = ("questions", "language", "n", "abstained")
    report.table(f"No-answer gate as shipped, threshold {threshold}", columns, rows, key="gate_shipped")


def _show(report: Report, known: Sequence[Example]) -> None:
    for name, cosine, words in (
        ("BOTH", True, True),
        ("DENSE_ONLY", True, False),
        ("LEXICAL_ONLY", False, True),
    ):
        fits = {language: fitted(known, language, cosine=cosine, words=words) for language in ("fr", "en")}
        report.say(f"{name} = {fits}")
        report.record(f"fit_{name}", str(fits))
