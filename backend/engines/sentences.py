"""A paragraph to its sentences, by rules that need not know its language.

Libraries were measured (docs/adr/0037): those that are fast enough cut more wrong, or fail on real text.
"""

from __future__ import annotations

import re
from typing import Final

# Abbreviations of French, English, German, Spanish and Italian together: what ends with a point in one of
# them is seldom a word that ends a sentence in another.
_NAMED: Final = """
    m mm mme mmes mlle mlles mgr dr dre dra drs pr st ste sta mr mrs ms messrs prof gen gal col capt cap lt
    sgt rev hon pres gov sen rep fr hr sr sra sres srta dña sig sigg dott avv ing geom arch cf vgl av avda
    blvd bd apr vs bgén all med soc ch cie éts app e.g i.e z.b d.h u.a o.ä p.ej p.es c.-à-d s.o s.u
"""
_NUMBERED: Final = """
    p pp pg pag págs pág s ff f art arts al abs ziff nr vol bd chap cap ch kap fig figs abb éd ed n no nos
    núm num réf ref sect sec sez ca approx aprox env circa ext poste tel tél tlf fax min max mod tab tav str
    jan feb mar apr jun jul aug sep sept oct nov dec janv févr avr juil déc jän märz okt dez ene abr ago dic
    gen mag giu lug ott mon tue tues wed thu thur thurs fri sat sun dim lun mer jeu ven sam
"""
_GERMAN_MONTHS: Final = """
    januar jänner februar märz april mai juni juli august september oktober november dezember
"""
_FIRST_WORDS: Final = """
    the this that these those it he she they we you i in on at for if when a an there his her their our its
    all both each and but no please il elle ils elles on nous vous je ce cet cette ces les un une des en dans
    pour si leur leurs son sa ses notre votre tout toute puis sinon der die das er sie es wir ihr ein eine im
    am bei el los las ellos ellas está se lo gli i nel sono è
"""
_BEFORE_NAMES: Final = frozenset(_NAMED.split())
_BEFORE_NUMBERS: Final = frozenset(_NUMBERED.split())
_MONTHS: Final = frozenset(_GERMAN_MONTHS.split())
_STARTERS: Final = frozenset(_FIRST_WORDS.split())
_UNITS: Final = ("m", "s")
_STOPS: Final = tuple(".!?…؟।։")
_END: Final = re.compile(r"(?:[.!?]+|[…؟।։])(?:[\"”’)\]]|[\s\u00a0\u202f]?»)*\.?(?=\s|$)")
_WORD_BEFORE: Final = re.compile(r"[^\s(\[«\"“'’]+$")
_LAST_TWO: Final = re.compile(r"([^\s(\[«\"“'’]+)?[\s(\[«\"“'’]*$")
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.-?)+[^\W\d_]{1,2}|([^\W\d_a-zà-ÿ])\1")
_OPENING: Final = "«\"“(['‘-–—¿¡ \u00a0\u202f"
_LETTER: Final = re.compile(r"[A-Z]\.")
_CLOSING: Final = "»”)].,;:"
_NO_VOWEL: Final = re.compile(r"[B-DF-HJ-NP-TV-XZb-df-hj-np-tv-xz][b-df-hj-np-tv-xz]{1,3}")
_MAX_QUOTED: Final = 300
_PAIRS: Final = (("«", "»"), ("(", ")"), ("“", "”"))


def cut(paragraph: str) -> list[str]:
    """The sentences of a paragraph on one line, in order: together all its text but the blanks between."""
    found, start = [], 0
    for end in _END.finditer(paragraph):
        if _is_boundary(paragraph, start, end):
            found.append(paragraph[start : end.end()].strip())
            start = end.end()
    rest = paragraph[start:].strip()
    return [*found, rest] if rest else found


def is_ended(text: str) -> bool:
    """Whether a text ends as a sentence does, quotation marks and brackets aside."""
    return text.rstrip(' \u00a0\u202f"”’)]»')[-1:] in _STOPS


def is_begun(text: str) -> bool:
    """Whether a text begins as a sentence does."""
    return not text.lstrip(_OPENING)[:1].islower()


def is_question(text: str) -> bool:
    """Whether a text asks."""
    return text.rstrip(' \u00a0\u202f"”’)]»').endswith(("?", "؟"))


def _is_boundary(text: str, start: int, end: re.Match[str]) -> bool:
    following = text[end.end() : end.end() + 40].lstrip()
    if not following:
        return True
    if following[0] in _CLOSING or not is_begun(following) or _is_open(text[start : end.end()]):
        return False
    return end.group() != "." or not _is_abbreviation(text[start : end.start()], following.lstrip(_OPENING))


def _is_open(text: str) -> bool:
    """Whether a quotation or a bracket is not closed yet: it ends with the sentence around it."""
    if len(text) >= _MAX_QUOTED:
        return False
    return any(text.count(opening) > text.count(closing) for opening, closing in _PAIRS)


def _is_abbreviation(before: str, following: str) -> bool:
    """Whether the point behind `before` belongs to its last word, with `following` in the same sentence."""
    match = _WORD_BEFORE.search(before)
    if match is None:
        return False
    word, lead = match.group(), before[: match.start()]
    word = word.rpartition("-")[2] or word
    token = following.split(None, 1)[0]
    if word.isdigit():
        return not lead.strip() or (len(word) <= 2 and token.strip(".,").lower() in _MONTHS)
    plain = word.lower()
    if any(c.isdigit() for c in token) or (_LETTER.fullmatch(token) and plain not in _BEFORE_NAMES):
        return len(word) == 1 or plain in _BEFORE_NUMBERS or bool(_NO_VOWEL.fullmatch(word))
    if (plain in _BEFORE_NAMES and word not in _UNITS) or _is_title(word):
        return True
    starts = re.split(r"['’,.]", token.lower(), maxsplit=1)[0] in _STARTERS
    if len(word) == 1:
        return _is_initial(word, lead) and not (starts and lead.strip())
    return word[0].isupper() and bool(_INITIALS.fullmatch(word)) and not starts


def _is_title(word: str) -> bool:
    return word[0].isupper() and _NO_VOWEL.fullmatch(word) is not None and word != "Ltd"


def _is_initial(letter: str, lead: str) -> bool:
    """Whether a single letter stands for a name, or for a word: "George W.", "z."; not "plan B.", "14 h."."""
    match = _LAST_TWO.search(lead)
    previous = (match.group(1) if match else "") or ""
    if letter.islower():
        return not previous[-1:].isdigit()
    return not previous or previous[0].isupper()
