import json

import numpy as np
import pytest

from backend.embedding.safetensors import Weights

WORDS = "embeddings.word_embeddings.weight"


def write(path, tensors, metadata=None):
    """`tensors`: name to (type, shape, bytes)."""
    header, body = {"__metadata__": metadata} if metadata else {}, b""
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def test_numbers_of_every_floating_type_are_read(tmp_path):
    numbers = np.array([[1.5, -2.0], [0.25, 3.0]], "<f4")
    upper_half = (numbers.view("<u4") >> 16).astype("<u2")
    path = write(
        tmp_path / "w",
        {
            WORDS: ("F32", [2, 2], numbers.tobytes()),
            "half": ("F16", [2, 2], numbers.astype("<f2").tobytes()),
            "brain": ("BF16", [2, 2], upper_half.tobytes()),
            "counts": ("I64", [1], bytes(8)),
        },
        {"format": "pt"},
    )
    weights = Weights(path)
    for name in (WORDS, "half", "brain"):
        assert weights[name].dtype == np.float32
        assert weights[name].tolist() == numbers.tolist()
    with pytest.raises(ValueError, match="I64"):
        weights["counts"]


def test_names_are_those_below_the_models_own_prefix(tmp_path):
    one = ("F32", [1], np.ones(1, "<f4").tobytes())
    path = write(tmp_path / "w", {"roberta." + WORDS: one, "roberta.a.LayerNorm.gamma": one})
    assert Weights(path)["a.LayerNorm.weight"].tolist() == [1]
    with pytest.raises(KeyError):
        Weights(path)["a.LayerNorm.bias"]


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 20, b"\xff" * 20, (9).to_bytes(8, "little") + b"not json!"]
)
def test_another_file_is_refused(content, tmp_path):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011
        Weights(tmp_path / "w")
