"""One known text in eleven pages with the elements and class names of the themes that documentation comes in."""

from __future__ import annotations

NOTE = "A card that is lost is replaced once a year without a fee."
QUESTION, ANSWER = "Can a friend return my books?", "Anybody may return books, the card is not needed for it."
MENU = ("Previous chapter", "Edit this page", "Site search", "Privacy notice")
"""Strings around the text; a page in which one comes out leaks."""
_TOPICS = ("Cards", "Loans", "Fees", "Rooms", "Children", "Events", "Gifts")
HEADINGS = tuple(f"{topic} of the library" for topic in _TOPICS)
ITEMS = tuple(f"{topic} are looked after at desk {number}" for number, topic in enumerate(_TOPICS, 1))
ROWS = tuple(
    f"{name} | {fee} euros" for name, fee in (("Adult", 18), ("Student", 9), ("Family", 30), ("Visitor", 5))
)
_PROSE = (
    "The library lends books, films and scores to everybody who lives in the valley, and to those who work "
    "or study here. Whoever comes for the first time brings a letter that shows the address, and leaves with "
    "a card that holds for one year from that day."
)


def _text(note: str, answer: str) -> str:
    sections = "".join(
        f"<h2 id='s{number}'>{heading}</h2><p>{heading}: {_PROSE}</p>"
        for number, heading in enumerate(HEADINGS[1:])
    )
    items = "".join(f"<li>{item}</li>" for item in ITEMS)
    rows = "".join(f"<tr><td>{row.replace(' | ', '</td><td>')}</td></tr>" for row in ROWS)
    return (
        f"<h1>{HEADINGS[0]}</h1><p>{_PROSE}</p>{note}{sections}<ul>{items}</ul>"
        f"<table><thead><tr><th>Who</th><th>Fee</th></tr></thead><tbody>{rows}</tbody></table>{answer}"
    )


def _box(classes: str, tag: str = "div") -> str:
    return f'<{tag} class="{classes}"><p class="{classes.split()[0]}-title">Note</p><p>{NOTE}</p></{tag}>'


_DETAILS = f"<details><summary>{QUESTION}</summary><p>{ANSWER}</p></details>"
_ACCORDION = (
    f'<h3 class="accordion-header"><button aria-expanded="false" aria-controls="a1">{QUESTION}</button></h3>'
    f'<div class="collapse" id="a1" hidden><p>{ANSWER}</p></div>'
)
_LINKS = "".join(f'<li><a href="/{number}">{name}</a></li>' for number, name in enumerate(MENU[:2]))
_NAV = f'<nav class="menu"><ul>{_LINKS}</ul></nav>'
_SIDE = f'<div class="sidebar" role="navigation"><ul>{_LINKS}</ul></div>'
_SEARCH = f'<div role="search"><form><label>{MENU[2]}</label><input></form></div>'
_FOOT = f"<footer><p>{MENU[3]}</p></footer>"
_LOOSE = f'<div class="nav-links"><a href="/a">{MENU[0]}</a> <a href="/b">{MENU[1]}</a></div>'


def _wrapped(before: str, text: str, after: str, body: str = "") -> str:
    return (
        f"<!DOCTYPE html><html lang='en'><head><title>{HEADINGS[0]} — Library</title></head>"
        f"<body {body}>{before}{text}{after}</body></html>"
    )


def pages() -> dict[str, str]:
    """Markup by the name of the theme it is made after."""
    admonition, callout = _box("admonition note"), _box("fr-callout")
    docs, site = _text(admonition, _DETAILS), _text(callout, _ACCORDION)
    mkdocs = f"<div class='container'><div class='col-md-9' role='main'>{docs}</div></div>"
    sphinx = (
        f"<div class='document'><div class='documentwrapper'><div class='body' role='main'>{docs}</div></div>"
    )
    return {
        "MkDocs": _wrapped(f"<div class='navbar'>{_NAV}</div>", mkdocs, _FOOT),
        "MkDocs, Read the Docs": _wrapped(
            f"<div class='wy-grid-for-nav'><nav class='wy-nav-side'>{_SIDE}{_SEARCH}</nav><section class='wy-nav-content-wrap'>",
            f"<div class='rst-content'><div role='main' class='document'>{docs}</div></div>",
            f"{_FOOT}</section></div>",
        ),
        "MkDocs Material": _wrapped(
            f"<header class='md-header'><nav class='md-header__inner'>{_SEARCH}</nav></header><div class='md-container'>",
            f"<main class='md-main'>{_SIDE}<div class='md-content'><article class='md-content__inner'>{docs}</article></div></main>",
            f"<footer class='md-footer'>{MENU[3]}</footer></div>",
        ),
        "Sphinx alabaster": _wrapped(
            "", sphinx, f"<div class='sphinxsidebar' role='navigation'>{_LOOSE}{_SEARCH}</div></div>"
        ),
        "Sphinx Read the Docs": _wrapped(
            f"<div class='wy-grid-for-nav'><nav data-toggle='wy-nav-shift' class='wy-nav-side'>{_SIDE}</nav>",
            f"<div class='wy-nav-content'><div class='rst-content'>{docs}</div></div>",
            f"<footer>{_LOOSE}</footer></div>",
        ),
        "Sphinx furo": _wrapped(
            f"<div class='page'><aside class='sidebar-drawer'>{_SIDE}</aside><div class='main'><div class='content'>",
            f"<div class='article-container'><article role='main'>{docs}</article></div>",
            f"{_FOOT}</div><aside class='toc-drawer'><ul><li><a href='#s1'>{HEADINGS[2]}</a></li></ul></aside></div></div>",
        ),
        "Sphinx pydata": _wrapped(
            f"<header class='bd-header'>{_NAV}</header><div class='bd-container'><div class='bd-sidebar-primary'>{_SIDE}</div>",
            f"<main id='main-content' class='bd-main'><article class='bd-article'>{docs}</article></main>",
            f"<footer class='bd-footer'>{MENU[3]}</footer></div>",
        ),
        "Docusaurus": _wrapped(
            f"<nav class='navbar'>{_LINKS}</nav><div class='main-wrapper'><aside class='theme-doc-sidebar-container'>{_SIDE}</aside>",
            f"<main class='docMainContainer'><article><div class='theme-doc-markdown markdown'>{docs}</div></article>{_NAV}</main>",
            f"</div><footer class='footer'>{MENU[3]}</footer>",
        ),
        "WordPress": _wrapped(
            f"<div id='page' class='hfeed site'><header id='masthead' class='site-header'>{_NAV}</header><div class='site-content has-sidebar'>",
            f"<article class='post'><div class='entry-content'>{_text(callout, _DETAILS)}</div></article>",
            f"<div id='secondary' class='widget-area'>{_LOOSE}</div></div><footer class='site-footer'>{MENU[3]}</footer></div>",
        ),
        "Drupal": _wrapped(
            f"<div class='layout-container'><header role='banner'>{_NAV}</header><div class='region region-breadcrumb'>{_SIDE}</div>",
            f"<main role='main'><div class='layout-content'><div class='field field--name-body'>{site}</div></div></main>",
            f"<footer role='contentinfo'>{MENU[3]}</footer></div>",
        ),
        "DSFR": _wrapped(
            f"<header role='banner' class='fr-header'>{_NAV}{_SEARCH}</header>",
            f"<main role='main' id='content'><div class='fr-container'>{site}</div></main>",
            f"<footer class='fr-footer' role='contentinfo'>{MENU[3]}</footer>",
        ),
    }
