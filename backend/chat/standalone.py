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
        r"^(et|mais|ou|sinon|dans ce cas|du coup|par contre)\b"
        r"|\b(le|la|les|lui|leur) (faire|dire|voir|avoir|prendre|demander|obtenir|changer|modifier|annuler)\b"
        r"|\b(ils?|elles?|celui|celle|ceux|celles|cela|ça|ceci|ces|cette|leurs?|y)\b"
        r"|\b(j|m|s|y |qu)['’ ]?en\b|\ben (ai|as|a|avons|avez|ont)\b"
        r"|\b(ce|le|la|les) (derniere?|dernière|premier|première|seconde?|même|autre)s?\b|\bl['’]autre\b"
        r"|(-on|-je|-il|-elle|-nous|-vous|\bcomment|\bpeux|\bveux|\bdois|\bfaut)\s(le|la|les|lui|leur|l['’])"
        r"\s?\w+(er|ir|re)\b",
        re.IGNORECASE,
    ),
    "en": re.compile(
        r"^(and|but|or|otherwise|in that case|what if)\b"
        r"|\b(it|its|they|them|their|he|she|his|her|him|this|these|those|there|the (same|former|latter))\b"
        r"|\bthat( one)?\s*\?|\b(the|which|another) ones?\b|\bthe (first|second|other)\b",
        re.IGNORECASE,
    ),
}
_FEW_WORDS = 3
_A_SUBJECT = 2
_ABOUT = re.compile(
    r"\s*(and )?(what|how) about (the |my |our |your )?|\s*qu'en est-il (des? |du |de la )", re.IGNORECASE
)
_OWN_SUBJECT = re.compile(
    # A pronoun that takes up the subject of the same question: "la carte est-elle payante ?"
    r"\b(les?|la|une?|des|mon|ma|mes|votre|vos|quels?|quelles?|l['’])\s?[^?,;]*?\w-(t-)?(ils?|elles?)\b"
    r"|\b(il y a|y a-t-il|est-il|faut-il|il faut|peut-il|s'agit-il|il est|existe-t-il)\b"
    r"|\b(is it|it is) (possible|allowed|free|necessary|true)\b"
    r"|\b(is|are|was|were) there\b|\bthere (is|are)\b",
    re.IGNORECASE,
)


def leans_on_context(question: str, language: Language) -> bool:
    """Whether the question cannot be understood alone."""
    words = len(re.findall(r"\w+", question))
    if about := _ABOUT.match(question):  # a subject of two words or more is one: "what about vacation days?"
        return len(re.findall(r"\w+", question[about.end() :])) < _A_SUBJECT
    if words <= _FEW_WORDS:
        return True
    leaning = _LEANING.get(language)
    return leaning is not None and leaning.search(_OWN_SUBJECT.sub(" ", question).strip()) is not None


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
