"""Makes the ONNX file of a model: `python -m backend.embedding.onnx_file '<json>'`.

A program of its own, so that the weights in 32 bits never enter the process that serves. The argument holds
`source` (as in `Model.source`) and its `sha256`, `target`, `pooling` and `precision`. A model that
`onnx_graph` cannot build is exported by torch where that is installed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from backend.embedding.base import Tensors
from backend.embedding.local_onnx import CANNOT
from backend.embedding.onnx_graph import UnknownArchitecture, build
from backend.embedding.packed import PackedModel
from backend.embedding.safetensors import Weights

_LARGEST_BYTES: Final = 2**31 - 2**20
"""Of a file in this format, which is one protobuf message."""


class CannotBeMade(Exception):
    """Why, for an operator."""


def make(order: dict[str, Any]) -> None:
    """Write the file.

    Raises:
        CannotBeMade
    """
    source, target = Path(order["source"]), Path(order["target"])
    try:
        config, weights = _opened(source, order)
        how = {"pooling": order["pooling"], "precision": order["precision"]}
        onnx.save(build(config, weights, **how), target)
    except UnknownArchitecture as exc:
        if order["pooling"] == "score":
            raise CannotBeMade(
                f"a rerank model of type {exc} cannot be run here: name one of BERT's family"
            ) from exc
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise CannotBeMade(
                f"an embedding model of type {exc} needs torch: install libriassist[torch], or name another"
            ) from exc
        import_module("backend.embedding.onnx_torch").export(order)
    except (KeyError, ValueError) as exc:
        raise CannotBeMade(f"the embedding model's files do not fit together ({exc})") from exc
    if order["pooling"] == "score":
        check_score(target)
    else:
        check(target, int(config["hidden_size"]))


def _opened(source: Path, order: dict[str, Any]) -> tuple[dict[str, Any], Tensors]:
    """What `config.json` says, and the weights."""
    if source.is_file():
        if hashlib.sha256(source.read_bytes()).hexdigest() != order["sha256"]:
            raise CannotBeMade(f"{source.name} is not the file that was tested: install its package again")
        packed = PackedModel(source)
        return packed.config, packed
    weights = source / "model.safetensors"
    if order["precision"] == "fp32" and weights.stat().st_size > _LARGEST_BYTES:
        raise CannotBeMade("the embedding model is too large for 32 bits: set its precision to int8")
    return json.loads((source / "config.json").read_bytes()), Weights(weights)


def check(target: Path, width: int) -> None:
    """Run the graph once.

    Raises:
        CannotBeMade: It does not give unit rows: its weights are broken.
    """
    rows = _tried(target, "sentence")
    if rows.shape != (2, width) or not np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3):
        raise CannotBeMade("the embedding model's weights give no vectors")


def check_score(target: Path) -> None:
    """Likewise, of a cross-encoder.

    Raises:
        CannotBeMade
    """
    scores = _tried(target, "score", "token_type_ids")
    if scores.shape != (2,) or not np.isfinite(scores).all():
        raise CannotBeMade("the rerank model's weights give no scores")


def _tried(target: Path, output: str, *zeros: str) -> NDArray[np.float32]:
    ids = np.arange(5, 5 + 2 * 7, dtype=np.int64).reshape(2, 7)
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    try:
        session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
        rows: NDArray[np.float32] = session.run(
            [output], given | {name: np.zeros_like(ids) for name in zeros}
        )[0]
    except Exception as exc:  # the library's errors have no base of their own
        raise CannotBeMade("the embedding model's files do not fit together") from exc
    return rows


def main() -> int:
    """The exit status."""
    try:
        make(json.loads(sys.argv[1]))
    except CannotBeMade as exc:
        sys.stdout.write(str(exc))
        return CANNOT
    return 0


if __name__ == "__main__":
    sys.exit(main())
