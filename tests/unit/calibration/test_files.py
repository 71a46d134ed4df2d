import json
from pathlib import Path

import pytest

from backend.calibration.files import calibration_for, save
from backend.config import Embedding
from backend.core.errors import Misconfigured
from backend.embedding.models import find
from backend.retrieval.gate import ANY, Fit
from tests.support.calibrations import MINILM, WORDS_ALONE

FITS = {"words": Fit(-2, 0, 3, 1), "dense": Fit(-3, 5, 0, 0), "both": Fit(-4, 1, 2, 1)}


def test_an_embedder_that_nobody_measured_has_words_alone():
    assert WORDS_ALONE.embedder == ""
    assert WORDS_ALONE.by_meaning is None
    assert (WORDS_ALONE.gate.dense, WORDS_ALONE.gate.both) == ({}, {})
    assert WORDS_ALONE.gate.words == MINILM.gate.words


def test_the_embedder_that_is_shipped_is_measured_in_both_languages():
    assert set(MINILM.gate.both) == set(MINILM.gate.dense) == {"fr", "en", ANY}
    assert MINILM.by_meaning is not None


def test_what_was_saved_takes_the_place_of_what_is_shipped(tmp_path):
    save(tmp_path, "all-MiniLM-L6-v2/int8", {"fr": FITS}, None)
    found = calibration_for("all-MiniLM-L6-v2/int8", tmp_path)
    assert found.gate.both == {"fr": FITS["both"]}
    assert found.gate.words == WORDS_ALONE.gate.words | {"fr": FITS["words"]}
    assert found.by_meaning is None
    save(tmp_path, "all-MiniLM-L6-v2/int8", {"fr": FITS}, MINILM.by_meaning)
    assert calibration_for("all-MiniLM-L6-v2/int8", tmp_path).by_meaning == MINILM.by_meaning
    assert len(list(tmp_path.iterdir())) == 1


def test_another_embedders_file_changes_nothing(tmp_path):
    save(tmp_path, "other/int8", {"fr": FITS, "en": FITS}, None)
    assert calibration_for("all-MiniLM-L6-v2/int8", tmp_path) == MINILM


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        json.dumps({"gate": {}}),
        json.dumps({"embedder": "x", "gate": {"xx": {}}}),
        json.dumps({"embedder": "x", "gate": {"fr": {"both": {"bias": "high"}}}}),
        json.dumps({"embedder": "x", "gate": {"fr": {"both": {"bias": 1, "cosine": -1}}}}),
        '{"embedder": "x", "gate": {"fr": {"both": {"bias": NaN}}}}',
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content):
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(Misconfigured) as refused:
        calibration_for("x", tmp_path)
    assert "mine.json" in refused.value.message
    assert "\n" not in refused.value.message


def test_the_default_embedder_is_measured_from_wherever_its_weights_come():
    section = Embedding.model_fields["model"].default
    ids = {find(name, how).id for name in (section, f"intfloat/{section}") for how in ("int8", "fp32")}
    found = {calibration_for(one, Path("no-such-folder")).embedder for one in ids}
    assert len(ids) == 4
    assert found == {find(section, "int8").id}
