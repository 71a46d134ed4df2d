"""What a piece of HTML would make a browser do, read by a parser that is not the sanitiser's."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

ALLOWED = {
    **dict.fromkeys(
        ("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "li"), frozenset()
    ),
    **dict.fromkeys(("pre", "code", "em", "strong", "s", "table", "thead", "tbody", "tr"), frozenset()),
    "ol": frozenset({"start"}),
    "th": frozenset({"align"}),
    "td": frozenset({"align"}),
    "a": frozenset({"href", "target", "rel"}),
}


class Audit(HTMLParser):
    """Collects everything that is not on the list of harmless tags, attributes and schemes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.findings: list[str] = []
        self.links: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED:
            self.findings.append(f"<{tag}>")
            return
        given = dict(attrs)
        self.findings += [f"{tag}[{name}]" for name in given if name not in ALLOWED[tag]]
        if tag == "a":
            self._link(given)

    def _link(self, given: dict[str, str | None]) -> None:
        href = given.get("href")
        if href is None:
            return
        self.links.append(href)
        if urlsplit(href).scheme not in {"http", "https", "mailto"}:
            self.findings.append(f"href={href}")
        if given.get("target") != "_blank" or given.get("rel") != "noopener noreferrer nofollow":
            self.findings.append(f"unsafe link {given}")

    def handle_comment(self, data: str) -> None:
        self.findings.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.findings.append(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self.findings.append(f"<?{data}>")
