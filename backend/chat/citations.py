"""Citations in a stream of Markdown: `[n]` that names a source is kept and counted, any other is removed.

What only looks like one passes as it is and is not counted:

* In code (`chat.code_spans`), behind a backslash, a brace or a `$`, as a link or its definition, or a list
  that holds 0 (`[0, 1]`).
* A subscript: directly behind a word, a bracket or a quotation mark, and behind what people call a variable
  (`a[1]`, `my_list[1]`, `myList[1]`, `$x[1]`, `argv[1]`, `f(x)[1]`), or before what only code has there
  (`[1] = 3`, `[1](`, `[1][i]`, `[1].name`).

Models do write `word[1]` for a citation, so behind any other word it is one, if it names a source. If not, it
stays: that a wrong citation is seen is a lesser harm than that a subscript is lost.
"""

from __future__ import annotations

import re

from backend.chat.code_spans import CodeSpans

_NUMBER, _COMMA = r"\d{1,3}", r"\s{0,2}[,;]\s{0,2}"
_ONE = rf"\[{_NUMBER}(?:{_COMMA}{_NUMBER}){{0,15}}\]"
_MARK = re.compile(rf"([ \t]?)\[({_NUMBER}(?:{_COMMA}{_NUMBER}){{0,15}})\]")
_CHAIN = re.compile(rf"[ \t]?(?P<marks>(?:{_ONE}){{1,16}})")
_START = re.compile(r"[ \t]?\[|[ \t]\Z")
# What may still become a chain, or go on. `\Z`, because `$` also stands before a last line break.
_OPEN = re.compile(
    rf"[ \t]?(?:(?:{_ONE}){{0,16}}(?:\[(?:{_NUMBER}{_COMMA}){{0,15}}(?:{_NUMBER}\s{{0,2}})?)?)?\Z"
)
_OPERATOR = r"(?:[-+*/%&|^!<>:=]?=|\+\+)"
_TARGET = r"<?(?:https?:|mailto:|www\.|[/#.])"
_UNDECIDED = re.compile(r"(?:[ \t]?[-+*/%&|^!<>:=]?|\(<?\w{0,6}|:[ \t]{0,2}<?\w{0,6}|\.)\Z")
"""What may yet be followed by what decides."""

_CALL = r"(?:\([^()\n]{0,40}\)|\[[^\[\]\n]{0,40}\])*"
_KNOWN = (
    "arg|argc|args|argv|arr|buf|cfg|ctx|dict|elem|env|idx|kwargs|mat|num|obj|params|ptr|str|tmp|tuple|vec"
)
_VARIABLE = re.compile(
    rf"(?:(?<![\w'’])(?<!\d\s)[a-zα-ω]|(?<!\w)\w*[^\W_]_+[^\W_]\w*|(?<!\w)[a-z]{{2,}}[A-Z]\w*"
    rf"|[$\\]\w+|(?<!\w)(?:{_KNOWN})|\w\(\)){_CALL}\Z"
)
_AS_CODE = re.compile(rf"[ \t]?{_OPERATOR}|[\[(]|\.[a-z_]")
_ASSIGNED = re.compile(rf"[ \t]?{_OPERATOR}")
_LINK = re.compile(rf"\({_TARGET}", re.IGNORECASE)
_DEFINITION = re.compile(rf":[ \t]{{0,2}}{_TARGET}", re.IGNORECASE)
_LINE_START = re.compile(r"(?:\A|\n)[ \t]{0,3}\Z")
_GLUE = re.compile(r"[\w)\[\]}`\"']\Z")
_SHIELD = re.compile(r"(?:[\\{^]|(?<!\d)\$)\Z")
_SEEN = 64
"""Characters before a mark that may tell what it is."""


class CitationFilter:
    """Feeds text through, piece by piece; holds back only what may still become a citation, or none.

    Args:
        sources: Numbers 1 to `sources` name a source.

    Attributes:
        sources: May change while text is fed.
    """

    def __init__(self, sources: int) -> None:
        self.sources = sources
        self._held = ""
        self._before = ""
        self._code = CodeSpans()
        self._doubtful: dict[int, set[int]] = {}
        self.cited: set[int] = set()

    def feed(self, text: str) -> str:
        """What may be shown now; at most a blank, citations and a few characters behind them stay back."""
        if not self._held and "[" not in text and text[-1:] not in (" ", "\t"):
            return self._plain(text)  # as nearly every piece: nothing in it begins a citation
        return self._through(self._held + text, last=False)

    def rest(self) -> str:
        """What was held back, once no more text comes."""
        shown = self._through(self._held, last=True)
        self._code.end()
        self._settle()
        return shown

    def passed(self, text: str) -> None:
        """Go on behind `text`, which another filter has let through: it is shown, whatever comes."""
        self._through(text, last=True)

    def _through(self, text: str, *, last: bool) -> str:
        shown, at = [], 0
        while start := _START.search(text, at):
            shown.append(self._plain(text[at : start.start()]))
            at = start.start()
            chain = _CHAIN.match(text, at)
            end = chain.end() if chain else at
            if not last and (_OPEN.match(text, at) or (chain and _UNDECIDED.match(text, end))):
                break
            if chain is None:
                end = start.end()
                shown.append(self._plain(text[at:end]))
            else:
                shown.append(self._decided(chain, text[end : end + 16]))
            at = end
        else:
            shown.append(self._plain(text[at:]))
            at = len(text)
        self._held = text[at:]
        return "".join(shown)

    def _plain(self, text: str) -> str:
        if text:
            self._code.see(text)
            self._before = (self._before + text)[-_SEEN:]
            if self._code.broken:
                self._settle()
        return text

    def _decided(self, chain: re.Match[str], after: str) -> str:
        """What is shown of a chain of marks."""
        before, whole = self._before, chain[0]
        numbers = [int(number) for number in re.findall(_NUMBER, whole)]
        lead = self._plain(whole.removesuffix(chain["marks"]))
        in_code, in_span = self._code.is_code(), self._code.is_span()
        self._plain(chain["marks"])
        if in_span:
            self._doubtful.setdefault(self._code.span, set()).update(filter(self._names, numbers))
        if in_code or _is_other(before, lead, numbers, after):
            return whole
        if after[:1] == "]" or (not lead and _GLUE.search(before)):
            if all(map(self._names, numbers)) and not _is_subscript(before, after):
                self.cited.update(numbers)
            return whole
        if _ASSIGNED.match(after) and not any(map(self._names, numbers)):
            return whole
        return _MARK.sub(self._kept, whole)

    def _kept(self, mark: re.Match[str]) -> str:
        known = [number for number in map(int, re.split(r"[,;]", mark[2])) if self._names(number)]
        self.cited.update(known)
        return mark[1] + "".join(f"[{number}]" for number in known) if known else ""

    def _names(self, number: int) -> bool:
        return 1 <= number <= self.sources

    def _settle(self) -> None:
        """Count what stood in a code span that turned out to be none."""
        while self._code.broken:
            self.cited.update(self._doubtful.pop(self._code.broken.pop(), ()))


def cited(text: str, sources: int) -> tuple[int, ...]:
    """Numbers that a text cites, ascending."""
    through = CitationFilter(sources)
    through.feed(text)
    through.rest()
    return tuple(sorted(through.cited))


def _is_other(before: str, lead: str, numbers: list[int], after: str) -> bool:
    """Whether marks are no citation, not even a wrong one: escaped, in a formula, a link, a list."""
    if (not lead and _SHIELD.search(before)) or after[:1] in ("$", "}"):
        return True
    if before.endswith("=") or _LINK.match(after) or (len(numbers) > 1 and 0 in numbers):
        return True
    return _LINE_START.search(before) is not None and _DEFINITION.match(after) is not None


def _is_subscript(before: str, after: str) -> bool:
    """Whether marks directly behind something look like code, by what stands on either side."""
    return _VARIABLE.search(before) is not None or _AS_CODE.match(after) is not None
