"""Panels that a visible control opens: what lies in them is hidden only until a reader asks for it."""

from __future__ import annotations

from lxml import etree

_NAMING = (
    "aria-controls",
    "data-bs-target",
    "data-target",
    "data-toggle-target",
    "commandfor",
    "popovertarget",
)
_CONTROL_ROLES = frozenset(("button", "tab"))
_PATH = "self::button or self::summary or self::label or @role='button' or @role='tab' or @aria-expanded"
_EXPANDED = etree.XPath("descendant-or-self::*[@aria-expanded]")
_NEAR = 2
_QUESTION_CHARS = 300
"""How many elements before a panel, or before what holds it, its control may stand."""


class Controls:
    """The elements of a page that can be opened: by id, and by their place after a control."""

    def __init__(self, root: etree._Element) -> None:
        self._named: dict[str, list[etree._Element]] = {}
        for element in root.xpath(f"//*[{' or '.join('@' + name for name in _NAMING)}]"):
            for name in _NAMING:
                for target in element.get(name, "").split():
                    self._named.setdefault(target.lstrip("#"), []).append(element)
        for link in root.xpath(f"//a[starts-with(@href, '#')][{_PATH} or @data-toggle or @data-bs-toggle]"):
            self._named.setdefault(link.get("href")[1:], []).append(link)

    def opens(self, element: etree._Element) -> bool:
        """Whether a reader can have `element` shown."""
        if element.get("role") == "tabpanel" or _has_ancestor(element, "details"):
            return True
        controls = self._named.get(element.get("id", ""), [])
        if any(_says_something(control) for control in controls):
            return True
        if any(target in self._named for target in element.get("aria-labelledby", "").split()):
            return True
        return _follows_a_control(element)


def is_control(element: etree._Element) -> bool:
    """Whether `element` is a button that opens something: its text is what is asked there."""
    if element.tag not in ("button", "summary") and element.get("role") not in _CONTROL_ROLES:
        return False
    if element.tag == "summary" or element.get("role") == "tab":
        return True
    names = (*_NAMING, "aria-expanded", "data-toggle", "data-bs-toggle")
    return any(name in element.attrib for name in names)


def _has_ancestor(element: etree._Element, tag: str) -> bool:
    parent = element.getparent()
    return parent is not None and parent.tag == tag


def _says_something(control: etree._Element) -> bool:
    return bool(control.get("aria-label", "").strip()) or any(
        not text.isspace() for text in control.itertext()
    )


def _follows_a_control(element: etree._Element) -> bool:
    """Whether a button that says whether it is open stands just before, as in most accordions."""
    before = element.getprevious()
    for _ in range(_NEAR):
        if before is None:
            return False
        if isinstance(before.tag, str) and _is_heading_of(before):
            return True
        before = before.getprevious()
    return False


def _is_heading_of(element: etree._Element) -> bool:
    """Whether `element` is little more than a button that opens something."""
    if sum(map(len, element.itertext())) > _QUESTION_CHARS:
        return False
    return any(map(_says_something, _EXPANDED(element)))
