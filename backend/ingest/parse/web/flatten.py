"""Markup whose elements are nested deeper than the parser goes, made flat."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

_DEEPEST = 400
_ALONE = frozenset(str.split("area base br col embed hr img input link meta source track wbr"))
_INHERITED = ("hidden", "style", "class", "aria-hidden", "color", "bgcolor")
_MAX_STYLE = 2000


def flattened(markup: str) -> str:
    """`markup` with elements deeper than `_DEEPEST` side by side, each with all that hid those around it."""
    writer = _Flat()
    writer.feed(markup)
    writer.close()
    return "".join(writer.parts)


class _Flat(HTMLParser):
    """Writes markup as it comes; at the deepest level an element that opens ends the one before."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._open: list[str] = []
        self._deep: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element opens: within the one around it, or, too deep for that, in its place."""
        own = {name: value or "" for name, value in attrs}
        if tag in _ALONE:
            self.parts.append(_start(tag, own))
        elif len(self._open) < _DEEPEST and not self._deep:
            self._open.append(tag)
            self.parts.append(_start(tag, own))
        else:
            around = self._deep[-1][1] if self._deep else {}
            merged = _merged(around, own)
            if self._deep:
                self.parts.append(f"</{self._deep[-1][0]}>")
            self._deep.append((tag, merged))
            self.parts.append(_start(tag, merged))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """In HTML the slash means nothing."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """An element ends; a tag that ends nothing is left out."""
        if any(tag == deep for deep, _ in self._deep[-50:]):
            while self._deep:
                name, _ = self._deep.pop()
                self.parts.append(f"</{name}>")
                if self._deep:
                    self.parts.append(_start(*self._deep[-1]))
                if name == tag:
                    return
        elif not self._deep and tag in self._open[-50:]:
            while self._open:
                name = self._open.pop()
                self.parts.append(f"</{name}>")
                if name == tag:
                    return

    def handle_data(self, data: str) -> None:
        """Text."""
        raw = self._open and self._open[-1] in ("script", "style")
        self.parts.append(data if raw else escape(data, quote=False))


def _start(tag: str, attributes: dict[str, str]) -> str:
    said = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{said}>"


def _merged(around: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """An element's attributes, and those of what is around it that may hide it."""
    merged = dict(own)
    for name in _INHERITED:
        if name in around:
            joint = "; " if name == "style" else " "
            both = joint.join(filter(None, (around[name], own.get(name, ""))))
            merged[name] = both[:_MAX_STYLE] if name in ("style", "class") else own.get(name, around[name])
    return merged
