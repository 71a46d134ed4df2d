"""Pages made after those that people have: text hidden in every way, and text that only looks hidden.

Each hidden case holds the word `order`, each visible one `86 euros`.
"""

from __future__ import annotations

_BEFORE, _AFTER = "<p>Opening hours are on the door.</p>", "<p>See you soon.</p>"


def _page(markup: str, style: str = "") -> str:
    sheet = f"<style>{style}</style>" if style else ""
    return f"<html><head><title>Town hall</title>{sheet}</head><body>{_BEFORE}{markup}{_AFTER}</body></html>"


def _styled(style: str) -> str:
    return _page(f'<p style="{style}">an order</p>')


HIDDEN = {
    "not displayed": _styled("display: none"),
    "not visible": _styled("visibility:hidden"),
    "collapsed": _styled("visibility: collapse"),
    "transparent": _styled("opacity: 0"),
    "nearly transparent": _styled("opacity:0.01"),
    "no font size": _styled("font-size:0"),
    "font of one pixel": _styled("font-size: 1px"),
    "off to the left": _styled("position:absolute; left:-9999px"),
    "above the page": _styled("position:fixed;top:-2000px"),
    "indented away": _styled("text-indent:-9999px"),
    "a font of no size": _styled("font:0/0 a"),
    "two pixels": _styled("font-size:2px"),
    "a comment within": _styled("display:/* */none"),
    "in capitals": _styled("DISPLAY:NONE !important"),
    "a margin": _styled("margin:0 0 0 -9999px"),
    "moved away": _styled("transform:translateX(-9999px)"),
    "moved away by name": _styled("translate:-3000px 0"),
    "no scale": _styled("scale:0"),
    "filled with nothing": _styled("-webkit-text-fill-color:transparent"),
    "no height": _styled("height:0;overflow:hidden"),
    "one dot": _styled("position:absolute;width:1px;height:1px;overflow:hidden"),
    "clipped": _styled("position:absolute;clip:rect(0 0 0 0)"),
    "clipped by a path": _styled("clip-path: inset(50%)"),
    "scaled to nothing": _styled("transform:scale(0)"),
    "white": _styled("color:#FFF"),
    "white on white in one style": _styled("background:#ffffff;color:rgb(255, 255, 255)"),
    "nearly white": _styled("color:#fefefe"),
    "black on black": _page('<div style="background:#000"><p style="color:black">an order</p></div>'),
    "transparent letters": _styled("color:rgba(0,0,0,0)"),
    "the attribute": _page("<p hidden>an order</p>"),
    "a template": _page("<template><p>an order</p></template>"),
    "a class": _page('<p class="a">an order</p>', ".a{display:none}"),
    "a class in another": _page('<div class="a"><p class="b">an order</p></div>', ".a .b{display:none}"),
    "a child of a class": _page('<div class="a"><p>an order</p></div>', "div.a > p { font-size:0 }"),
    "font element": _page('<font color="white">an order</font>'),
    "for every medium": _page(
        '<p class="a">an order</p>', "@media screen { .a { left:-99em; position:absolute } }"
    ),
    "a name of frameworks": _page('<span class="sr-only">an order</span>'),
    "a comment": _page("<!-- an order -->"),
    "without scripts": _page("<noscript>an order</noscript>"),
    "a closed dialog": _page("<dialog>an order</dialog>"),
    "inherited white": _page('<div style="color:white"><div><p>an order</p></div></div>'),
}
"""At least the 26 ways of the benchmark's bar; what is asked of them is that no `order` comes out."""

_FEE = "<p>The stamp costs 86 euros.</p>"
ACCORDION = (
    '<button aria-expanded="false">How do I get a refund?</button><div hidden><p>Within 14 days.</p></div>'
)
VISIBLE = {
    "a wrapper with a side bar": f'<div class="layout has-sidebar">{_FEE}</div>',
    "a section on social security": f'<section id="social-security">{_FEE}</section>',
    "a header": f"<header><h1>Passport</h1>{_FEE}</header><main><p>Bring a photograph.</p></main>",
    "an aside": f"<p>Bring a photograph.</p><aside>{_FEE}</aside>",
    "white on a coloured cell": '<table><tr style="background:#036"><th style="color:#fff">86 euros</th></tr></table>',
    "white on its own colour": '<p style="color:#fff;background:#000091">86 euros</p>',
    "white on a coloured cell of old": '<table><tr><td bgcolor="navy"><font color="#ffffff">86 euros</font></td></tr></table>',
    "white on a picture": f'<div style="background:url(sea.jpg)"><div style="color:white">{_FEE}</div></div>',
    "white on a class's colour": _page(
        f'<div class="hero"><h1>{_FEE}</h1></div>', ".hero{background-color:#123456;color:#fff}"
    ),
    "white on a sheet that is not here": f'<link rel="stylesheet" href="a.css"><div class="hero"><div style="color:#fff">{_FEE}</div></div>',
    "drawn up": f'<div style="margin-top:-120px">{_FEE}</div>',
    "yellow": f'<div style="color:yellow">{_FEE}</div>',
    "pale": '<p style="color:#ffe">86 euros</p>',
    "a folded panel after its button": f'<h3><button aria-expanded="false">Fees</button></h3><div hidden>{_FEE}</div>',
    "a folded panel named by its button": f'<button aria-controls="p1">Fees</button><p>…</p><div id="p1" style="display:none">{_FEE}</div>',
    "a folded panel of a framework": f'<button data-bs-toggle="collapse" data-bs-target="#p1">Fees</button><p>…</p><div id="p1" style="display:none">{_FEE}</div>',
    "a tab": f'<div role="tablist"><button role="tab">Fees</button></div><div role="tabpanel" aria-hidden="true">{_FEE}</div>',
    "a tab that is not open": f'<div role="tabpanel" hidden>{_FEE}</div>',
    "details": f"<details><summary>Fees</summary>{_FEE}</details>",
    "faded in": f'<div style="opacity:0;transition:opacity 1s">{_FEE}</div>',
    "faded in on the way down": f'<div data-aos="fade-up" style="opacity:0">{_FEE}</div>',
    "a heading made of a button": "<h2><button>The stamp costs 86 euros</button></h2>",
    "a caption": '<figure><img alt=""><figcaption>The stamp costs 86 euros.</figcaption></figure>',
    "hidden in print alone": _page(f'<div class="a">{_FEE}</div>', "@media print{.a{display:none}}"),
    "hidden on a telephone alone": _page(
        f'<div class="a">{_FEE}</div>', "@media (max-width:600px){.a{display:none}}"
    ),
    "shown again": _page(f'<div class="a b">{_FEE}</div>', ".a{display:none} .a.b{display:block}"),
    "small letters within none": f'<div style="font-size:0"><div style="font-size:16px">{_FEE}</div></div>',
    "a page that waits for a script": f'<body style="visibility:hidden">{_FEE}</body>',
    "a page without a body": f"<meta charset='utf-8'><title>Town hall</title><section>{_FEE}</section>",
    "a body whose colours are elsewhere": f'<body text="white" style="color:#fff">{_FEE}</body>',
    "found by a search": f'<div hidden="until-found">{_FEE}</div>',
    "a font of some size": f'<div style="font:bold 14px/1.2 Arial">{_FEE}</div>',
    "a margin to the edge": f'<div style="margin:0 -15px">{_FEE}</div>',
    "newsletter of the town": f'<div class="newsletter social share">{_FEE}</div>',
}
