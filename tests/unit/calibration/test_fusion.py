"""Which weights are chosen where one index is right and the other is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backend.calibration.base import Fusion
from backend.calibration.files import calibration_for, save
from backend.calibration.fusion import FEWEST, Case, fitted
from backend.config import Retrieval
from backend.retrieval.base import Hit
from backend.retrieval.search import Found
from tests.support.passages import passage

OURS = Fusion(20.0, 4.0, 2)


def hits(*ids: str) -> list[Hit]:
    return [Hit(replace(passage(id), id=id, document=id, text=f"text of {id}"), 0.5) for id in ids]


def case(number: int, *, meaning_is_right: bool) -> Case:
    good, bad = f"good-{number}", [f"bad-{number}-{i}" for i in range(6)]
    right, wrong = hits(good, *bad[:2]), hits(*bad[2:])
    dense, lexical = (right, wrong) if meaning_is_right else (wrong, right)
    return Case("fr" if number % 2 else "en", Found(dense, lexical), frozenset({good}))


def test_the_index_that_is_right_is_trusted_more() -> None:
    for meaning_is_right in (True, False):
        made = fitted([case(i, meaning_is_right=meaning_is_right) for i in range(FEWEST)], Retrieval())
        assert made is not None
        assert (made.fusion.lexical_weight < 1) is meaning_is_right
        assert made.worth == 2.0
        assert (made.before < 2.0) is meaning_is_right


def test_few_questions_change_nothing() -> None:
    assert fitted([case(i, meaning_is_right=True) for i in range(FEWEST - 1)], Retrieval()) is None


def test_questions_whose_answer_no_index_finds_teach_nothing() -> None:
    lost = replace(case(0, meaning_is_right=True), relevant=frozenset({"elsewhere"}))
    assert fitted([lost] * (FEWEST * 2), Retrieval()) is None


def test_what_an_operator_set_stays() -> None:
    chosen = Fusion(5.0, 1.0, 3).under(Retrieval(lexical_weight=2.5))
    assert (chosen.rrf_k, chosen.lexical_weight, chosen.per_document) == (5.0, 2.5, 3)
    assert Fusion(5.0, 1.0, 3).over(Retrieval(lexical_weight=2.5)).lexical_weight == 1.0


def test_it_is_kept_with_the_rest(tmp_path: Path) -> None:
    assert calibration_for("all-MiniLM-L6-v2/int8", tmp_path).fusion == OURS
    assert calibration_for("nobody measured it", tmp_path).fusion == OURS
    save(tmp_path, "mine", {}, None, Fusion(5.0, 1.0, 3))
    assert calibration_for("mine", tmp_path).fusion == Fusion(5.0, 1.0, 3)
