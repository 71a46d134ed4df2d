"""A model run by sentence-transformers (torch)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from backend.embedding.base import Vectors
from backend.embedding.models import Model


class TorchEncoder:
    """Pooling and normalisation are `model`'s, whatever files lie beside the weights.

    Args:
        threads: Compute threads of torch, for the whole process.
    """

    def __init__(self, model: Model, folder: Path, *, threads: int) -> None:
        torch.set_num_threads(threads)
        body = Transformer(str(folder), max_seq_length=model.max_tokens)
        pooling = Pooling(model.dimensions, pooling_mode=model.pooling)
        self._model = SentenceTransformer(modules=[body, pooling, Normalize()], device="cpu")
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32[n, dimensions]."""
        with self._lock:  # its tokenizer changes its own padding and must not be shared at one moment
            rows = self._model.encode(list(texts), batch_size=max(1, len(texts)), show_progress_bar=False)
        return np.ascontiguousarray(rows, dtype=np.float32)
