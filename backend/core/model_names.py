"""Which names of models can be asked for, shown and logged as they are."""

from __future__ import annotations

LONGEST_NAME = 512
QUOTING = "extractive"
"""Model named when no model server offers one."""
_EVERY = "*"
"""What stands for all models in the pool (`pool.slots.base.ANY_MODEL`)."""

_UNFIT = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffd")
"""What Python takes for printable and nobody sees, and what stands for a character that could not be read."""


def is_model_name(text: str) -> bool:
    """Whether everybody sees the same in it: no controls, line ends, invisible marks or changes of direction.

    Blanks are allowed inside, at most `LONGEST_NAME` characters: some servers name a model by its path.
    """
    if not 0 < len(text) <= LONGEST_NAME or text == _EVERY:
        return False
    return text.strip() == text and all(map(_is_plain, text))


def is_offerable(name: str) -> bool:
    """Whether a model that a server calls so can be asked for: asking for `QUOTING` means something else."""
    return is_model_name(name) and name != QUOTING


def _is_plain(char: str) -> bool:
    return char.isprintable() and char not in _UNFIT and not "\ufe00" <= char <= "\ufe0f"
