"""Takes out of a page what its reader does not see, before anything else reads it.

No library of those that find a page's text does it: text that is white on white or off the page reaches a
model as an order from nobody. What a visible control opens stays, and so does what a script fades in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lxml import etree

from backend.ingest.parse.web import colours
from backend.ingest.parse.web.controls import Controls
from backend.ingest.parse.web.styles import Style, Styles

_NEVER_SHOWN = frozenset(
    str.split(
        "title script style noscript iframe object embed svg canvas audio video map select datalist "
        "input textarea progress meter"
    )
)
_WHOLE_PAGE_SHARE = 0.9
_WHOLE_PAGE_CHARS = 500
_FONT_PX = 3.0
_FAINT = 0.05
_FAR_PX = 500.0
_SCREENS = 1.0
_NUMBER = re.compile(r"(-?\d*\.?\d+(?:e\d+)?)\s*(px|pt|em|rem|%|vw|vh|ch|ex|in|pc)?")
_PIXELS = {
    "px": 1.0,
    "": 1.0,
    "pt": 1.33,
    "em": 16.0,
    "rem": 16.0,
    "ch": 8.0,
    "ex": 8.0,
    "pc": 16.0,
    "in": 96.0,
}
_NOTHING_LEFT = re.compile(
    r"rect\(\s*[01](?:px)?[\s,]|inset\((?:50|100)%|circle\(0|polygon\(\s*0 0\s*\)|"
    r"scale[xy3d]*\(0(?:\.0\d*)?[,)]"
)
_CLEAR = frozenset(("none", "inherit", "initial", "unset", "0", "0px"))
_PAINT = re.compile(r"[\w#-]+\([^()]*\)|[#\w-]+")
_MOVED = re.compile(r"translate[xy3d]*\(([^()]*)\)")
_TURNED = re.compile(r"rotate[xy]\(\s*(?:90|270)deg")
_PLACING = frozenset(
    str.split(
        "clip clip-path transform scale filter left right top bottom inset margin margin-left margin-top "
        "text-indent translate"
    )
)
_SHORT_FONT = re.compile(r"(?:^|\s)(\d*\.?\d+(?:px|pt|em|rem|%)?)(?:/|\s)")
_FADED = re.compile(r"opacity\(0%?\)")
_REVEALED = tuple(
    str.split("transition transition-property transition-duration animation animation-name will-change")
)
_REVEALING = tuple(
    str.split("data-aos data-animat data-scroll data-reveal data-wow data-sal data-sr data-w-id")
)


@dataclass(frozen=True, slots=True)
class _Look:
    """What text inherits: its colour and size, what is behind it, whether it is shown.

    Attributes:
        ground: Colour behind the text; None where a picture or an unknown sheet may be there.
    """

    colour: colours.Colour | str | None = (0, 0, 0)
    ground: colours.Colour | None = colours.WHITE
    font_px: float = 16.0
    shown: bool = True

    @property
    def seen(self) -> bool:
        """Whether text that looks like this is seen."""
        if not self.shown or self.font_px < _FONT_PX or self.colour == colours.TRANSPARENT:
            return False
        if self.ground is None or self.colour is None or isinstance(self.colour, str):
            return True
        return not colours.alike(self.colour, self.ground)


def remove(root: etree._Element) -> int:
    """Take what is not seen out of the tree `root`; in how many places there was text."""
    return _Eye(root).look()


class _Eye:
    """One look over one page."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._styles = Styles(root)
        self._controls = Controls(root)
        self._foreign_sheets = bool(root.xpath("//link[contains(@rel, 'stylesheet')][1]"))
        self._chars = _chars(root)
        self._hidden = 0

    def look(self) -> int:
        """Walk down the page with what is inherited; the number of hidden places."""
        waiting = [(self._root, _Look())]
        while waiting:
            element, inherited = waiting.pop()
            style = self._styles.of(element)
            if element is not self._root and self._is_out(element, style):
                self._take_out(element)
                continue
            look = self._look_of(element, style, inherited)
            if not look.seen and element.tag in ("html", "body"):
                look = replace(_Look(), ground=None)
            elif not look.seen:
                self._blank(element)
            waiting.extend((child, look) for child in element if isinstance(child.tag, str))
        return self._hidden

    def _take_out(self, element: etree._Element) -> None:
        self._hidden += element.tag not in _NEVER_SHOWN and _chars(element) > 0
        parent = element.getparent()
        if tail := element.tail:
            before = element.getprevious()
            if before is None:
                parent.text = (parent.text or "") + tail
            else:
                before.tail = (before.tail or "") + tail
        parent.remove(element)

    def _blank(self, element: etree._Element) -> None:
        """The element's own text goes; its children have their own look."""
        own = [element.text, *(child.tail for child in element)]
        self._hidden += any(text and not text.isspace() for text in own)
        element.text = None
        for child in element:
            child.tail = None

    def _is_out(self, element: etree._Element, style: Style | None) -> bool:
        """Whether the element and all in it are out of sight."""
        if element.tag in _NEVER_SHOWN:
            return True
        if element.tag == "template":
            return "shadowrootmode" not in element.attrib
        if style and _is_nowhere(style):
            return True
        folded = _is_folded(element, style)
        return folded and not (self._controls.opens(element) or self._is_the_page(element))

    def _is_the_page(self, element: etree._Element) -> bool:
        """Whether nearly all text is in there: it waits for a script, or lies behind a dialog."""
        if element.tag in ("html", "body"):
            return True
        chars = _chars(element)
        return chars > _WHOLE_PAGE_CHARS and chars > _WHOLE_PAGE_SHARE * self._chars

    def _look_of(self, element: etree._Element, style: Style | None, look: _Look) -> _Look:
        if ground := element.get("bgcolor"):
            look = replace(look, ground=_solid(ground))
        elif element.get("background"):
            look = replace(look, ground=None)
        if colour := element.get("color") or (element.get("text") if element.tag == "body" else None):
            look = replace(look, colour=colours.parse(colour))
        if style:
            look = _restyled(look, style)
            if style.get("visibility") and (self._controls.opens(element) or self._is_the_page(element)):
                look = replace(look, shown=True)
        if look.ground and self._may_be_painted(element, style):
            look = replace(look, ground=None)
        return look

    def _may_be_painted(self, element: etree._Element, style: Style | None) -> bool:
        """Whether a sheet that is not in the file could lay a colour behind the element."""
        if not self._foreign_sheets or element.tag in ("html", "body"):
            return False
        return bool(element.get("class") or element.get("id")) and not (style and _ground(style))


def _chars(element: etree._Element) -> int:
    return sum(len(text) for text in element.itertext() if not text.isspace())


def _is_nowhere(style: Style) -> bool:
    """No size, cut away, off the page: no control brings that back."""
    if not style.values.keys() & _PLACING:
        return False
    cut = f"{style.get('clip')} {style.get('clip-path')} {style.get('transform')} scale({style.get('scale')},"
    if _NOTHING_LEFT.search(cut):
        return True
    if _TURNED.search(style.get("transform")) or _FADED.search(style.get("filter")):
        return True
    placed = style.get("position") in ("absolute", "fixed", "relative", "sticky")
    sides = [style.get(side) for side in ("left", "right", "top", "bottom")] if placed else []
    sides += style.get("inset").split(" ") if placed else []
    sides += [style.get("margin-left"), style.get("margin-top"), style.get("text-indent")]
    sides += style.get("margin").split(" ") + style.get("translate").split(" ")
    sides += [part for moved in _MOVED.findall(style.get("transform")) for part in moved.split(",")]
    return any(map(_is_far, sides))


def _is_far(value: str) -> bool:
    if not (match := _NUMBER.match(value.strip())):
        return False
    size, unit = float(match.group(1)), match.group(2) or ""
    return size * _PIXELS[unit] <= -_FAR_PX if unit in _PIXELS else size < -100 * _SCREENS


def _is_folded(element: etree._Element, style: Style | None) -> bool:
    """Not shown for now: a script, a control or nobody shows it."""
    display = style.get("display") if style else ""
    if display == "none" or (element.get("hidden", "until-found") != "until-found" and not display):
        return True
    if element.get("aria-hidden", "").strip().lower() == "true":
        return True
    if element.tag == "dialog" and "open" not in element.attrib:
        return True
    if not style:
        return False
    if style.get("content-visibility") == "hidden":
        return True
    return (_is_faint(style) or _is_tiny(style)) and not _is_revealed(element, style)


def _is_faint(style: Style) -> bool:
    if not (match := _NUMBER.match(style.get("opacity"))):
        return False
    return float(match.group(1)) / (100 if match.group(2) == "%" else 1) < _FAINT


def _is_tiny(style: Style) -> bool:
    """No wider or higher than a dot, and what does not fit is cut off."""
    cut = {style.get(name).split(" ")[0] for name in ("overflow", "overflow-x", "overflow-y")}
    sizes = (style.get(name) for name in ("width", "height", "max-width", "max-height"))
    return bool(cut & {"hidden", "clip"}) and any(_is_dot(size) for size in sizes)


def _is_dot(size: str) -> bool:
    if not (match := _NUMBER.fullmatch(size)):
        return False
    return float(match.group(1)) * _PIXELS.get(match.group(2) or "", 1) <= 1


def _is_revealed(element: etree._Element, style: Style) -> bool:
    """Whether a script or an animation brings it into view."""
    if any(style.get(name) not in ("", "none", "auto") for name in _REVEALED):
        return True
    if style.get("transform") not in ("", "none"):
        return True
    return any(name.startswith(_REVEALING) for name in element.attrib)


def _restyled(look: _Look, style: Style) -> _Look:
    if value := style.get("visibility"):
        look = replace(look, shown=value not in ("hidden", "collapse"))
    if short := _SHORT_FONT.search(style.get("font")):
        look = replace(look, font_px=_font_px(short.group(1), look.font_px))
    if size := style.get("font-size"):
        look = replace(look, font_px=_font_px(size, look.font_px))
    if _ground(style):
        look = replace(look, ground=_solid(_ground(style), look.ground))
    value = style.get("-webkit-text-fill-color") or style.get("color")
    if value and value not in ("inherit", "currentcolor"):
        look = replace(look, colour=colours.parse(value))
    if "text" in (style.get("background-clip"), style.get("-webkit-background-clip")):
        look = replace(look, colour=None)
    return look


def _ground(style: Style) -> str:
    parts = (style.get("background"), style.get("background-color"), style.get("background-image"))
    return " ".join(part for part in parts if part)


def _solid(value: str, behind: colours.Colour | None = colours.WHITE) -> colours.Colour | None:
    """The colour that a background lays; what is behind where it lays none; None where it is a picture."""
    if "url(" in value or "gradient(" in value or "var(" in value:
        return None
    found = [colours.parse(part) for part in _PAINT.findall(value)]
    solid = [colour for colour in found if colour is not None and not isinstance(colour, str)]
    if solid:
        return solid[-1]
    clear = colours.TRANSPARENT in found or all(word in _CLEAR for word in value.split())
    return behind if clear else None


def _font_px(value: str, inherited: float) -> float:
    match = _NUMBER.fullmatch(value)
    if not match:
        return 16.0
    size, unit = float(match.group(1)), match.group(2) or "px"
    if unit in ("em", "%"):
        return inherited * size / (100 if unit == "%" else 1)
    return size * _PIXELS.get(unit, 16)
