"""The one file of the default model: what is read of it, and the graph that is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from backend.core.errors import EmbedderUnavailable
from backend.embedding.onnx_file import CannotBeMade, make
from backend.embedding.onnx_graph import build
from backend.embedding.packed import PackedModel
from backend.embedding.safetensors import Weights
from backend.embedding.tokens import tokens_of
from tests.support import tiny_packed, tiny_ranker
from tests.support.reference import sentence

IDS = [0, 13, 7, 9, 4, 19, 2]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return PackedModel(tiny_packed.build(tmp_path_factory.mktemp("packed") / "tiny.bin"))


def run(graph: object, ids: list[int]) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(),  # type: ignore[attr-defined]
        providers=["CPUExecutionProvider"],
    )
    given = np.array([ids], np.int64)
    return session.run(["sentence"], {"input_ids": given, "attention_mask": np.ones_like(given)})[0][0]


def test_its_graph_computes_what_its_weights_say(packed: PackedModel) -> None:
    wanted = sentence(packed.config, packed, IDS)
    exact = run(build(packed.config, packed, pooling="mean", precision="fp32"), IDS)
    assert exact == pytest.approx(wanted, abs=1e-5)
    small = run(build(packed.config, packed, pooling="mean", precision="int8"), IDS)
    assert small @ wanted > 0.999


def test_a_table_that_stays_in_four_bits_holds_the_same_numbers(packed: PackedModel) -> None:
    name = "embeddings.word_embeddings.weight"
    blocks = packed.blocks(name)
    assert blocks is not None
    halves = np.stack((blocks.codes & 15, blocks.codes >> 4), 2).reshape(len(blocks.codes), -1)
    numbers = (halves.astype(float) - 8) * np.repeat(blocks.steps, blocks.size, 1)
    assert numbers == pytest.approx(packed[name])
    assert packed.blocks("embeddings.position_embeddings.weight") is None


def test_a_model_with_positions_after_padding_is_computed_likewise(tmp_path: Path) -> None:
    """Of the build that multilingual-e5-large has."""
    folder = tiny_ranker.build(tmp_path / "large", "xlm-roberta")
    config, weights = json.loads((folder / "config.json").read_text()), Weights(folder / "model.safetensors")
    wanted = sentence(config, weights, IDS)
    assert run(build(config, weights, pooling="mean", precision="fp32"), IDS) == pytest.approx(
        wanted, abs=1e-5
    )
    assert run(build(config, weights, pooling="mean", precision="int8"), IDS) @ wanted > 0.999


@pytest.mark.parametrize("size", [0, 3, 50, 300, 1500, -1])
def test_a_file_that_is_cut_off_is_refused(size: int, tmp_path: Path) -> None:
    path = tiny_packed.build(tmp_path / "tiny.bin")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(EmbedderUnavailable, match=r"tiny\.bin cannot be read"):
        tokens_of(path, 512)


def test_another_file_than_the_one_that_was_tested_is_not_converted(tmp_path: Path) -> None:
    path = tiny_packed.build(tmp_path / "tiny.bin")
    order = {"source": str(path), "sha256": "0" * 64, "target": str(tmp_path / "made"), "precision": "int8"}
    with pytest.raises(CannotBeMade, match=r"tiny\.bin is not the file that was tested"):
        make(order | {"pooling": "mean"})
    assert not (tmp_path / "made").exists()
