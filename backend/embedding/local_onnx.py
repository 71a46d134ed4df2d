"""A model run by ONNX Runtime; the ONNX file is made once, on this machine."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from filelock import FileLock, Timeout

from backend.core.errors import EmbedderUnavailable
from backend.embedding.base import Vectors
from backend.embedding.models import Model, RankModel
from backend.embedding.tokens import Pairs, tokens_of

log = logging.getLogger(__name__)

_EXPORT_TIMEOUT_S = 600
CANNOT = 3
"""Exit status of a conversion that says on stdout why it cannot be made."""


class OnnxEncoder:
    """A session of ONNX Runtime and the model's tokenizer.

    Args:
        model: What to run.
        source: The model's own files; see `Model.source`.
        models_dir: Where ONNX files are kept, one folder a model.
        threads: Compute threads of one forward pass.

    Raises:
        EmbedderUnavailable: The ONNX file could not be made or read.
    """

    def __init__(self, model: Model, source: Path, models_dir: Path, *, threads: int) -> None:
        self._tokens = tokens_of(source, model.max_tokens)
        self._dimensions = model.dimensions
        self._session = _session(prepared(model, source, models_dir), threads)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32[n, dimensions].

        One text at a time. Together they are no faster on a CPU (padding), and int8 rounds by the largest
        number of the whole batch: vectors moved by up to 0.017 of cosine with the texts beside them.
        """
        rows = np.zeros((len(texts), self._dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            ids = self._tokens.ids(text)
            inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            row[:] = self._session.run(["sentence"], inputs)[0][0]
        return rows


class OnnxRanker:
    """A cross-encoder: how well passages answer a question. Blocking.

    Raises:
        EmbedderUnavailable: The ONNX file could not be made or read.
    """

    def __init__(self, ranker: RankModel, models_dir: Path, *, threads: int) -> None:
        self._pairs = Pairs(ranker.folder, ranker.max_tokens)
        self._session = _session(prepared(ranker, ranker.folder, models_dir), threads)

    def scores(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Logits, float32[n, 1], of questions and passages; one at a time, as `OnnxEncoder.encode`."""
        rows = np.zeros((len(pairs), 1), np.float32)
        for row, (question, passage) in zip(rows, pairs, strict=True):
            ids, kinds = self._pairs.ids(question, passage)
            inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": kinds}
            row[:] = self._session.run(["score"], inputs)[0]
        return rows


def _session(path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads must sleep: spinning ones take the cores from the model server beside us.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # the library's errors have no base of their own
        raise EmbedderUnavailable("the ONNX file of the embedding model cannot be read") from exc


def prepared(model: Model | RankModel, source: Path, models_dir: Path) -> Path:
    """The ONNX file of `model`; made when it is not there, by one process at a time, whole or not at all.

    Raises:
        EmbedderUnavailable: It could not be made.
    """
    home = models_dir / model.slug
    path = home / "model.onnx"
    if path.is_file():
        return path
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / "lock", timeout=_EXPORT_TIMEOUT_S):
            if not path.is_file():
                _export(model, source, path)
    except (OSError, Timeout, subprocess.SubprocessError) as exc:
        told = exc.stderr if isinstance(exc, subprocess.CalledProcessError) else b""
        log.error(
            "no ONNX file of the model", exc_info=exc, extra={"told": told[-2000:].decode(errors="replace")}
        )
        raise EmbedderUnavailable("the embedding model could not be converted to ONNX") from exc
    return path


def _export(model: Model | RankModel, source: Path, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="making-") as making:
        made = Path(making) / "model.onnx"
        order = {
            "source": str(source.resolve()),
            "sha256": model.sha256,
            "target": str(made.resolve()),
            "pooling": model.pooling,
            "precision": model.precision,
        }
        done = subprocess.run(  # noqa: S603  our own module, arguments as a list
            [sys.executable, "-m", "backend.embedding.onnx_file", json.dumps(order)],
            check=False,
            capture_output=True,
            timeout=_EXPORT_TIMEOUT_S,
        )
        if done.returncode == CANNOT:
            raise EmbedderUnavailable(done.stdout.decode(errors="replace"))
        done.check_returncode()
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.replace(path)
