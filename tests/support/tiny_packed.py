"""A sentence embedder of some kilobytes in one file, as a package has the default model; of chance."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

WIDTH, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 40
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
PIECES = {
    "\u2581": -3.0, "a": -4.0, "b": -4.1, "e": -4.2, "l": -4.3, "o": -4.4, "k": -4.5, "s": -3.9,
    "\u00e9": -6.0, "\u2581book": -5.0, "\u2581bo": -5.5, "ok": -5.2, "oks": -7.5, "\u2581a": -3.1,
    "\u2581loan": -6.2, "ab": -5.0,
}  # fmt: skip
READ_AS = {0x7: "", 0x200B: " ", 0xFB01: "fi"}


def build(path: Path, pieces: dict[str, float] = PIECES) -> Path:
    """Write it."""
    names, scores = [*SPECIAL, *pieces], [0.0] * len(SPECIAL) + list(pieces.values())
    shape = (WIDTH, LAYERS, HEADS, INNER, len(names), POSITIONS, 2)
    head = b"E5S1" + struct.pack("<I7ifi", 1, *shape, 1e-12, 32)
    texts = [name.encode() for name in names]
    bounds = np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes()
    head += struct.pack("<5iQ", len(names), 0, 2, 1, 3, sum(map(len, texts)))
    head += bounds + np.array(scores, "<f4").tobytes() + b"".join(texts)
    map_ = b"".join(struct.pack(f"<IB{len(to)}I", one, len(to), *map(ord, to)) for one, to in READ_AS.items())
    head += struct.pack("<iI", len(READ_AS), len(map_)) + map_
    tensors = _tensors(len(names))
    start = len(head) + 4 + sum(2 + len(name) + 21 for name in tensors)
    directory, body = struct.pack("<i", len(tensors)), b""
    for name, (is_packed, count, data) in tensors.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", is_packed, count, start + len(body), len(data))
        body += data
    path.write_bytes(head + directory + body)
    return path


def _tensors(words: int) -> dict[str, tuple[int, int, bytes]]:
    """By name: whether in 4 bits, how many numbers, and their bytes."""
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (words, WIDTH), "emb.pos": (POSITIONS, WIDTH), "emb.type": (2, WIDTH),
        "emb.ln.w": (WIDTH,), "emb.ln.b": (WIDTH,),
    }  # fmt: skip
    for layer in range(LAYERS):
        for part, rows, columns in (
            *((name, WIDTH, WIDTH) for name in ("q", "k", "v", "ao")),
            ("fi", INNER, WIDTH),
            ("fo", WIDTH, INNER),
        ):
            shapes |= {f"l{layer}.{part}.w": (rows, columns), f"l{layer}.{part}.b": (rows,)}
        shapes |= {f"l{layer}.{part}.{kind}": (WIDTH,) for part in ("aln", "oln") for kind in "wb"}
    chance = np.random.default_rng(7)
    return {name: _bytes(name, chance.normal(0.1, 0.5, shape)) for name, shape in shapes.items()}


def _bytes(name: str, numbers: np.ndarray) -> tuple[int, int, bytes]:
    if name == "emb.word" or (name.endswith(".w") and numbers.ndim == 2):
        return 1, numbers.size, _blocks(numbers)
    return 0, numbers.size, numbers.astype("<f4").tobytes()


def _blocks(numbers: np.ndarray) -> bytes:
    """Four bits a number: of each 32 a step, then numbers 0 to 15 in low halves, 16 to 31 in high ones."""
    made = b""
    for block in numbers.reshape(-1, 32):
        step = np.float16(np.abs(block).max() / 7)
        codes = np.clip(np.rint(block / float(step)) + 8, 0, 15).astype(np.uint8)
        made += step.tobytes() + (codes[:16] | codes[16:] << 4).tobytes()
    return made
