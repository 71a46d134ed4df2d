"""Characters: decode them, and remove those that nobody sees."""

from __future__ import annotations

import codecs
import re
import unicodedata

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
_BLANKS = re.compile(r"[ \t]+")
_MOJIBAKE_LIMIT = 0.01


def decode(data: bytes) -> str:
    """Text of a file: by its byte order mark, else UTF-8, else Windows-1252.

    Raises:
        UnreadableDocument: It is not text.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, "replace")
    if b"\x00" in data:
        raise UnreadableDocument("it is not text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_legacy(data)


def _decode_legacy(data: bytes) -> str:
    text = data.decode("cp1252", "replace")
    odd = sum(1 for char in text if char == "\ufffd" or (char < " " and char not in "\t\n\r\f\v"))
    if odd > _MOJIBAKE_LIMIT * len(text):
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
