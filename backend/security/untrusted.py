"""Text from outside, made harmless to the parsers of model servers.

A chat template marks roles with control tokens (`<|im_start|>`, `[INST]`, `</think>`), and engines
recognise them in plain content as well. Vocabularies differ from model to model, so no list is trusted:
the openings that every such token needs are broken with a space, which a reader hardly notices and no
tokenizer undoes. Nothing is removed but characters that nobody can see.
"""

from __future__ import annotations

import re

# Line breaks of other alphabets become "\n"; lone surrogates become U+FFFD.
_BREAKS = re.compile("\r\n|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Controls, zero-width marks, bidirectional overrides, tags and variation selectors can carry hidden text.
# U+200C and U+200D stay: Persian and emoji need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef]"
)
# A "<" (or what NFKC makes one) stands only before a space, "=", "-" or another "<": so neither `<|x|>`,
# `<x>`, `</x>`, `<<SYS>>` nor a full-width form can be spelt, not even across two neutralised texts.
_ANGLE = re.compile("([<＜﹤])(?![\\s=<＜﹤-])")
# `|>` closes tokens that another writer may have opened.
_BAR = re.compile("([|｜])(?=[>＞﹥])")
# `[INST]`, `[/INST]`, `[gMASK]`, `[|user|]`, `]~b]`, `[e~[`, `>>QUESTION<<`; citations as `[1]` stay.
_SQUARE = re.compile("\\[(?=[|｜]|/?(?:[A-Z][A-Z0-9_]+|[gs]MASK)\\])")
_TILDE = re.compile("\\](?=~)|~(?=\\[)")
_CHEVRONS = re.compile(">(?=>[A-Z])")
# What any of the above begins with: most texts have none of it.
_SUSPECT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef<＜﹤|｜\\[~>]"
)


def neutralise(text: str) -> str:
    """`text` in which no engine finds a control token; the same when applied again."""
    return _broken_up(text) if _SUSPECT.search(text) else text


def _broken_up(text: str) -> str:
    text = _BREAKS.sub("\n", text)
    text = _SURROGATES.sub("\ufffd", _INVISIBLE.sub("", text))
    text = _ANGLE.sub(r"\1 ", text)
    text = _BAR.sub(r"\1 ", text)
    text = _SQUARE.sub("[ ", text)
    text = _TILDE.sub(lambda found: found[0] + " ", text)
    return _CHEVRONS.sub("> ", text)
