"""A follow-up question, made understandable without the turns before it.

Rules, no model: a question that leans on what was said (a pronoun, a bare "and ...?", very few words) is
searched together with the question it leans on. Retrieval then sees both subjects' words; the prompt
still carries the question as it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from backend.core.types import Language

_LEANING: dict[Language, re.Pattern[str]] = {
    "fr": re.compile(
        r"^(et|mais|ou|donc|alors|sinon|aussi|pourquoi|comment ça|combien|lequel|laquelle|lesquels|lesquelles"
        r"|quand|où|depuis quand|jusqu'à quand|à partir de quand)\b.{0,40}$"
        r"|^(et|mais|sinon|dans ce cas|du coup|par contre)\b"
        r"|\b(il|elle|ils|elles|celui-ci|celle-ci|ceux-ci|celles-ci|celui-là|celle-là|cela|ça|ceci|y|en|leurs?"
        r"|ce dernier|cette dernière|ces derniers|le même|la même|ces|cette)\b"
        r"|\b(l'autre|le premier|la première|le second|la seconde)\b",
        re.IGNORECASE,
    ),
    "en": re.compile(
        r"^(and|but|or|so|then|also|why|how come|how much|how many|which one|which ones|when|where|since when"
        r"|until when|what about|how about)\b.{0,40}$"
        r"|^(and|but|otherwise|in that case|what about|how about|what if)\b"
        r"|\b(it|its|they|them|their|he|she|his|her|him|this|that|these|those|there|the same|the former"
        r"|the latter|one|ones)\b"
        r"|\b(the first|the second|the other)\b",
        re.IGNORECASE,
    ),
}
_FEW_WORDS = 3
_IMPERSONAL = re.compile(
    r"\b(il y a|y a-t-il|est-il|faut-il|il faut|peut-il|s'agit-il|il est (possible|interdit|permis)"
    r"|is it (possible|allowed|free|necessary)|is there|are there|there (is|are))\b",
    re.IGNORECASE,
)


def leans_on_context(question: str, language: Language) -> bool:
    """Whether the question cannot be understood alone."""
    alone = _IMPERSONAL.sub(" ", question)
    words = re.findall(r"\w+", alone)
    return len(words) <= _FEW_WORDS or _LEANING[language].search(alone.strip()) is not None


def standalone(question: str, earlier_questions: Sequence[str], language: Language) -> str:
    """The question with what it leans on put before it: earlier questions back to one that stands alone.

    At most three questions are joined; a question that stands alone comes back as it is.
    """
    chain = [question]
    for before in reversed(earlier_questions[-3:]):
        if not leans_on_context(chain[0], language) or len(chain) == 3:
            break
        chain.insert(0, before)
    return " ".join(chain)
