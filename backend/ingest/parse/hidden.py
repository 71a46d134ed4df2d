"""Which elements of a page a reader does not see, or does not come for."""

from __future__ import annotations

import re
from collections.abc import Mapping

DROPPED_TAGS = frozenset(
    str.split(
        "head script style template noscript iframe object embed svg canvas audio video picture map "
        "select datalist button input textarea nav footer menu dialog progress meter"
    )
)
_CHROME_TAGS = frozenset(("header", "aside"))
_ROLES = frozenset(
    str.split("navigation banner contentinfo search menu menubar toolbar dialog alertdialog tooltip tablist")
)
_CHROME = re.compile(
    r"(?i)(?:^|[\s_-])(?:cookies?|consent|rgpd|gdpr|tarteaucitron|onetrust|axeptio|didomi|breadcrumbs?|fil-ariane|"
    r"sidebar|navbar|nav-links|page-nav|page-edit|pagination|pager|share|sharing|social|newsletter|skip-?links?|"
    r"pg-boilerplate|site-footer|site-header|mw-editsection|noprint|advert|ads|popup|modal)(?:$|[\s_-])"
)
_UNSEEN_CLASS = re.compile(
    r"(?i)(?:^|\s)(?:header-anchor|headerlink|anchor-link|sr-only|visually-hidden|screen-reader-text|hidden|d-none|"
    r"is-hidden)(?:$|\s)"
)
_UNSEEN_STYLE = re.compile(
    r"""(?ix)
    display:none | visibility:(?:hidden|collapse) | opacity:0?(?:\.0+)?(?:;|!|$)
    | font-size:(?:0(?:\.0+)?[a-z%]*|1px|0?\.\d+px)(?:;|!|$) | text-indent:-\d{3,}
    | (?:left|top|right|bottom|margin-left):-\d{3,}
    | clip:rect\(0 | clip-path:inset\((?:50|100)% | transform:scale\(0
    """
)
_TINY = re.compile(r"(?i)(?:^|;)(?:max-)?(?:width|height):[01](?:px)?(?:;|!|$)")
_WHITE = re.compile(
    r"(?i)(?:^|;)color:(?:white|transparent|\#f{3,4}|\#f{6}(?:ff)?|rgba?\(255,255,255|rgba\(\d+,\d+,\d+,0\)|"
    r"hsla?\(\d+,\d+%,100%)"
)
_MEDIA = re.compile(r"@[a-z-]+[^{};]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", re.I)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SELECTOR = re.compile(r"^(?:[a-z][a-z0-9]*)?([.#][\w-]+)$", re.I)
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_MAX_STYLE = 200_000


def unseen_style(style: str) -> bool:
    """Whether a declaration block makes its element invisible: not shown, no size, off the page, white."""
    style = re.sub(r"\s+", "", style)
    if _UNSEEN_STYLE.search(style):
        return True
    if _TINY.search(style) and "overflow:hidden" in style.lower():
        return True
    return bool(_WHITE.search(style)) and "background" not in style.lower()


def unseen_selectors(stylesheet: str) -> frozenset[str]:
    """`.class` and `#id` selectors that a style sheet hides for every medium."""
    plain = _MEDIA.sub("", _COMMENT.sub("", stylesheet[:_MAX_STYLE]))
    hidden: set[str] = set()
    for selectors, style in _RULE.findall(plain):
        if unseen_style(style):
            found = (_SELECTOR.match(one.strip()) for one in selectors.split(","))
            hidden.update(match.group(1) for match in found if match)
    return frozenset(hidden)


def is_unseen(attributes: Mapping[str, str], selectors: frozenset[str]) -> bool:
    """Whether an element with these attributes is hidden from readers."""
    if "hidden" in attributes or attributes.get("aria-hidden", "").lower() == "true":
        return True
    classes = attributes.get("class", "")
    if _UNSEEN_CLASS.search(classes) or unseen_style(attributes.get("style", "")):
        return True
    if attributes.get("color", "").lower() in ("white", "#fff", "#ffffff"):
        return True
    return bool(selectors) and (
        "#" + attributes.get("id", "") in selectors
        or any("." + name in selectors for name in classes.split())
    )


def is_chrome(tag: str, attributes: Mapping[str, str], *, in_content: bool) -> bool:
    """Whether the element is a menu, a banner, a consent box: around the content, not of it.

    Args:
        tag: Name of the element.
        attributes: Its attributes.
        in_content: Inside the page's main element, where `header` and `aside` belong to the text.
    """
    if tag in _CHROME_TAGS and not in_content:
        return True
    if attributes.get("role", "").lower() in _ROLES:
        return True
    if tag in ("body", "html", "main", "article"):
        return False
    return bool(_CHROME.search(attributes.get("class", "")) or _CHROME.search(attributes.get("id", "")))
