import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.calibration.fit import auc, monotone
from backend.calibration.gate import FEWEST, Example, by_language, fitted
from backend.calibration.quoting import holds
from backend.retrieval.gate import ANY, Signs


def examples(rng, count, *, cosine_says: float):
    """Words tell something; the cosine as much as a test wants, or the opposite."""
    made = []
    for i in range(count):
        answers = i % 2 == 0
        covers, matched = rng.normal(0.5 + 0.2 * answers, 0.2), rng.normal(2 + answers, 0.5)
        made.append(
            Example((Signs(rng.normal(0.5 + cosine_says * answers, 0.1), covers, abs(matched)),), answers)
        )
    return [one for _, one in sorted(((e.answers, e) for e in made), key=lambda pair: pair[0])]


def test_an_embedder_that_tells_more_than_words_is_found_out():
    made = fitted(examples(np.random.default_rng(1), 400, cosine_says=0.3), 0.15)
    assert made is not None
    assert made.auc > made.auc_words + 0.01
    assert made.refused < 0.05 < made.caught


def test_an_embedder_that_tells_the_opposite_is_left_out():
    made = fitted(examples(np.random.default_rng(1), 400, cosine_says=-0.3), 0.15)
    assert made is not None
    assert made.fits["both"].cosine == 0.0


def test_too_few_examples_of_either_kind_give_nothing():
    some = examples(np.random.default_rng(1), 400, cosine_says=0.3)
    assert fitted([e for e in some if e.answers], 0.15) is None
    assert fitted([*some[:200], *some[200 : 200 + FEWEST - 1]], 0.15) is None


def test_halves_hold_both_kinds():
    some = [("fr", e) for e in examples(np.random.default_rng(1), 41, cosine_says=0.3)]
    halves = by_language(some)
    assert set(halves) == {"fr", ANY}
    for made in halves.values():
        assert [e.answers for e in made[::2]].count(True) in (10, 11)


@given(st.integers(0, 10_000))
def test_no_weight_is_negative(seed):
    rng = np.random.default_rng(seed)
    w = monotone(rng.normal(size=(40, 3)), (rng.random(40) > 0.5).astype(float))
    assert (w[1:] >= 0).all()
    assert np.isfinite(w).all()


def test_chance_and_certainty():
    assert auc([1.0, 2.0], [0.0, 0.5]) == 1.0
    assert auc([1.0], [1.0]) == 0.5


def test_an_answer_stands_as_whole_words():
    assert holds("It takes\nThree  weeks.", "three weeks")
    assert not holds("thirteen", "teen")
