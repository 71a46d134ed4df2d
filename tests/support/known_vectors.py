"""Texts and the vectors that sentence-transformers gives them; tests/torch holds the file to it."""

from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "data" / "all_minilm_l6_v2.npy"
TEXTS = (
    "",
    "a loan",
    "How long may I keep a borrowed book?",
    "Combien de temps puis-je garder un livre emprunté ?",
    "\u00e9t\u00e9 \U0001f916 [CLS] 145 g, 210 \u20ac",
    "The reading room opens at ten o'clock. " * 40,
)


def known_vectors() -> np.ndarray:
    """Unit rows, float32[6, 384]."""
    return np.load(FILE)
