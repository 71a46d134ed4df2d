"""Characters: decode them, and remove those that nobody sees."""

from __future__ import annotations

import codecs
import re
import unicodedata

import chardet

from backend.core.errors import UnreadableDocument

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f]")
_BLANKS = re.compile(r"[ \t]+")
_MOJIBAKE_LIMIT = 0.01
BAD = "\ufffd"
"""What stands for bytes that are no character; `clean` takes it out."""
_BAD_SHARE = 0.05
_FEW = 20
_NULS, _NO_NULS = 0.3, 0.05
_SAMPLE = 100_000
_LIKELY = 0.1
_WIDER = {"cp437": "cp850"}
"""The same accents in the same places, and more of them."""


def decode(data: bytes) -> str:
    """Text of a file in whatever encoding it comes; U+FFFD where a byte is none of it.

    By its byte order mark; by NUL bytes that come every other time; as UTF-8, also where a few bytes are bad
    or the end is cut; and what is none of these, by guess.

    Raises:
        UnreadableDocument: It is not text.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, "replace")
    if b"\x00" in data:
        return _checked(data.decode(_wide(data), "replace"))
    text = data.decode("utf-8", "replace")
    others = len(text) - len(text.encode("ascii", "ignore"))
    if text.count(BAD) <= _BAD_SHARE * max(others, _FEW):
        return _checked(text)
    return _checked(data.decode(_guess(data), "replace"))


def _wide(data: bytes) -> str:
    """UTF-16 of one byte order or the other, for text whose NUL bytes stand on one side only."""
    sample = data[:_SAMPLE] if len(data) >= _FEW else b""
    first, second = (sample[side::2].count(0) / max(1, len(sample) // 2) for side in (0, 1))
    if second > _NULS and first < _NO_NULS:
        return "utf-16-le"
    if first > _NULS and second < _NO_NULS:
        return "utf-16-be"
    raise UnreadableDocument("it is not text")


def _guess(data: bytes) -> str:
    """The encoding of text in single bytes; Windows-1252 where none is likely, as with a few words."""
    found = chardet.detect(data[:_SAMPLE])
    name = (found["encoding"] or "").lower()
    if found["confidence"] < _LIKELY or name == "iso-8859-1" or name.startswith(("utf", "ascii")):
        return "cp1252"
    return _WIDER.get(name) or _known(name)


def _known(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"


def _checked(text: str) -> str:
    odd = text.count(BAD) + len(_CONTROLS.findall(text))
    if odd > _MOJIBAKE_LIMIT * len(text) + 1:
        raise UnreadableDocument("it is not text")
    return text


def clean(text: str) -> str:
    """`text` composed (NFC), with plain spaces, hyphens and newlines, without what cannot be seen.

    Zero-width, bidi, private use and control characters, variation selectors and tags go: they show a reader
    nothing, and they hide instructions, or a word from the index.
    """
    text = _SPACES.sub(" ", _NEWLINES.sub("\n", text))
    return unicodedata.normalize("NFC", _UNSEEN.sub("", text)).replace("\u2011", "-").replace("\u2010", "-")


def squeeze(text: str) -> str:
    """`text` on one line, with single spaces."""
    return " ".join(text.split())


def tidy(text: str) -> str:
    """`text` with its line breaks, without blank lines, doubled spaces or spaces at the ends of lines."""
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
