"""Reads the weights of a model: the `safetensors` format, eight bytes and a JSON before the numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_TYPES: Final = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_FIRST: Final = "embeddings.word_embeddings"
_LONGEST_HEADER: Final = 100 * 1024**2
_OLD_NAMES: Final = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
"""Checkpoints that were converted from the first releases keep these."""


class Weights:
    """Tensors by name, float32, read from the disk when they are asked for.

    Names are those below the model's own prefix (`bert.`, `roberta.`), if its file has one.

    Raises:
        ValueError: The file is none of that format.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LONGEST_HEADER:
                raise ValueError("the weights are not in the safetensors format")
            header: dict[str, Any] = json.loads(file.read(length))
        self._numbers = np.memmap(path, np.uint8, "r", offset=8 + length)
        header.pop("__metadata__", None)
        words = next((name for name in header if _FIRST in name), _FIRST)
        self._found = {name.removeprefix(words.partition(_FIRST)[0]): said for name, said in header.items()}

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """A tensor.

        Raises:
            KeyError: There is none of that name.
            ValueError: It does not hold floating-point numbers.
        """
        said = self._found.get(name) or self._found[_old(name)]
        if said["dtype"] not in _TYPES:
            raise ValueError(f"the weights are {said['dtype']}, not floating-point numbers")
        begin, end = said["data_offsets"]
        numbers = self._numbers[begin:end].view(_TYPES[said["dtype"]])
        if said["dtype"] == "BF16":  # the upper half of a float32
            numbers = (numbers.astype("<u4") << 16).view("<f4")
        return numbers.astype(np.float32, copy=False).reshape(said["shape"])

    def blocks(self, name: str) -> None:
        """None is in 4 bits."""


def _old(name: str) -> str:
    for new, old in _OLD_NAMES:
        name = name.replace(new, old)
    return name
