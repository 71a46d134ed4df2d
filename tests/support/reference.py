"""A transformer of the BERT family in plain NumPy, to hold graphs against."""

from __future__ import annotations

from collections.abc import Mapping
from math import erf
from typing import Any, Protocol

import numpy as np


class Tensors(Protocol):
    def __getitem__(self, name: str) -> np.ndarray: ...


def sentence(config: Mapping[str, Any], tensors: Tensors, ids: list[int]) -> np.ndarray:
    """The unit row of one text, by the mean of its tokens' states; float64[width]."""
    first = 0 if config["model_type"] == "bert" else config["pad_token_id"] + 1
    states = tensors["embeddings.word_embeddings.weight"][ids].astype(float)
    states += tensors["embeddings.position_embeddings.weight"][first : first + len(ids)]
    states += tensors["embeddings.token_type_embeddings.weight"][0]
    states = _normed(config, tensors, "embeddings.LayerNorm", states)
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        mixed = _attended(config, tensors, f"{name}.attention", states)
        states = _normed(config, tensors, f"{name}.attention.output.LayerNorm", states + mixed)
        inner = np.vectorize(_gelu)(_linear(tensors, f"{name}.intermediate.dense", states))
        more = _linear(tensors, f"{name}.output.dense", inner)
        states = _normed(config, tensors, f"{name}.output.LayerNorm", states + more)
    mean = states.mean(0)
    return mean / np.linalg.norm(mean)


def _attended(config: Mapping[str, Any], tensors: Tensors, name: str, states: np.ndarray) -> np.ndarray:
    parts = [_linear(tensors, f"{name}.self.{part}", states) for part in ("query", "key", "value")]
    width = states.shape[1] // config["num_attention_heads"]
    heads = []
    for start in range(0, states.shape[1], width):
        query, key, value = (part[:, start : start + width] for part in parts)
        raw = np.exp(query @ key.T / np.sqrt(width))
        heads.append(raw / raw.sum(1, keepdims=True) @ value)
    return _linear(tensors, f"{name}.output.dense", np.concatenate(heads, 1))


def _linear(tensors: Tensors, name: str, states: np.ndarray) -> np.ndarray:
    return states @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def _normed(config: Mapping[str, Any], tensors: Tensors, name: str, states: np.ndarray) -> np.ndarray:
    centred = states - states.mean(1, keepdims=True)
    spread = np.sqrt((centred**2).mean(1, keepdims=True) + config["layer_norm_eps"])
    return centred / spread * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def _gelu(x: float) -> float:
    return x * (1 + erf(x / 2**0.5)) / 2
