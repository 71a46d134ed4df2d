"""`libriassist calibrate`: fit the no-answer gate and quoting to the embedder, from one's own questions."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from backend.calibration import fusion, gate, quoting
from backend.calibration.base import Fusion
from backend.calibration.files import CALIBRATIONS, calibration_for, save
from backend.calibration.learn import Learned, Learner
from backend.calibration.questions import Asked, read
from backend.config import Settings
from backend.core.errors import InvalidRequest
from backend.corpus.base import CorpusRef
from backend.wiring.corpora import LOCAL_TENANT
from backend.wiring.lazily import open_services


async def run(settings: Settings, options: Namespace) -> int:
    """The one action."""
    return await calibrate(settings, options.questions, corpus=options.corpus)


async def calibrate(settings: Settings, questions: Path, *, corpus: str) -> int:
    """Ask every question of the corpus, fit, and keep what is better than words alone; 1 if nothing is.

    Raises:
        InvalidRequest: The file cannot be used; says why.
    """
    asked = read(questions)
    folder = settings.data.dir / CALIBRATIONS
    async with open_services(settings) as services:
        parts = services.ingestion.worker.derivation
        present = calibration_for(parts.embedder.id, folder)
        search = present.fusion.under(settings.retrieval)
        learner = Learner(parts.catalogue, parts.embedder, parts.dense, parts.lexical, search, present)
        learned = await learner.learn(CorpusRef(LOCAL_TENANT, corpus), asked)
    kept = {name: fit for name, fit in learned.gates.items() if fit and fit.auc >= fit.auc_words}
    console = Console(highlight=False)
    _report(console, learned, asked)
    if not kept and learned.quoting is None:
        raise InvalidRequest("nothing was fitted: words alone go on deciding; see above what was missing")
    fits = {name: fit.fits for name, fit in kept.items()}
    path = save(folder, parts.embedder.id, fits, learned.quoting, _better(learned, present.fusion))
    console.print(f"Written to {path}; in force from the next start.", markup=False, soft_wrap=True)
    return 0


def _better(learned: Learned, present: Fusion) -> Fusion:
    """The fusion that ranks better questions that it was not chosen on."""
    made = learned.fusion
    return made.fusion if made is not None and made.worth > made.before else present


def _report(console: Console, learned: Learned, asked: list[Asked]) -> None:
    table = Table(
        "gate", "answered", "not", "AUC", "AUC, words alone", "refused, answerable", "refused, removed"
    )
    for language, fit in sorted(learned.gates.items()):
        if fit is None:
            console.print(
                f"{language}: fewer than {gate.FEWEST} questions whose answer is found, or not: no gate"
            )
            continue
        shares = (f"{value:.3f}" for value in (fit.auc, fit.auc_words, fit.refused, fit.caught))
        table.add_row(language, *map(str, fit.examples), *shares)
        if fit.auc < fit.auc_words:
            console.print(f"{language}: the embedder tells less than words alone: no gate")
    if table.row_count:
        console.print(table)
    if learned.fusion is None:
        console.print(f"fusion: fewer than {fusion.FEWEST} questions whose answer is found: as before")
    else:
        worth, before = learned.fusion.worth, learned.fusion.before
        console.print(f"fusion: recall@5 + MRR@10 {worth:.3f}, and {before:.3f} with the weights of before")
    if learned.quoting is None:
        with_answer = sum(bool(one.answer) for one in asked)
        console.print(
            f"quoting: {learned.quotable} of {with_answer} answers stand in a sentence that was found, "
            f"{quoting.FEWEST} are needed: words alone"
        )
