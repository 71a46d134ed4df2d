"""Word documents: what their reader sees, by way of HTML."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from io import BytesIO

import mammoth
from lxml import etree

from backend.ingest.base import Block, Note
from backend.ingest.parse.document import Document, first_heading, sane_title
from backend.ingest.parse.office.docx_styles import Styles, W
from backend.ingest.parse.office.package import Package
from backend.ingest.parse.text import clean, squeeze
from backend.ingest.parse.web.markup import from_markup

_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_PICTURE = "{http://schemas.openxmlformats.org/drawingml/2006/picture}pic"
_STYLE_MAP = "p[style-name='Title'] => h1:fresh\nbr[type='page'] =>"
_BULLETS, _NUMBERS = "990001", "990002"
_LEVELS = 9


def read(data: bytes) -> Document:
    """The document in a .docx file: headings, lists, tables, notes; no hidden text, images or contents table.

    Raises:
        UnreadableDocument: Damaged, or nested too deeply.
    """
    package = Package(data)
    main = package.main("word/document.xml")
    styles = Styles(next((package.xml(path) for path in package.related(main, "styles")), None))
    parts = {path: package.xml(path) for path in (main, *_notes(package, main))}
    notes = _Cleaner(styles)
    for root in parts.values():
        notes.clean(root)
    markup = mammoth.convert_to_html(
        BytesIO(_plain(package, main, parts)), convert_image=lambda image: [], style_map=_STYLE_MAP
    ).value
    document = from_markup(markup)
    core_title, about = package.core()
    named = (notes.title, _only_top(document.blocks), core_title, first_heading(document.blocks))
    title = next((title for name in named if (title := sane_title(name))), "")
    return Document(title, document.blocks, (*notes.notes(package, main), *document.notes), about)


def _notes(package: Package, main: str) -> Iterable[str]:
    return (path for kind in ("footnotes", "endnotes") for path in package.related(main, kind))


def _only_top(blocks: Iterable[Block]) -> str:
    tops = [block.text for block in blocks if block.kind == "heading" and block.level == 1]
    return tops[0] if len(tops) == 1 else ""


class _Cleaner:
    """Takes out of a part's tree what is not shown, and writes what Word only implies."""

    def __init__(self, styles: Styles) -> None:
        self._styles = styles
        self._hidden = self._images = self._contents = 0
        self.title = ""

    def clean(self, root: etree._Element) -> None:
        """Change `root` in place."""
        for row in list(root.iter(f"{W}tr")):
            if row.find(f"{W}trPr/{W}hidden") is not None:
                self._hidden += 1
                _remove(row)
        for formula in list(root.iter(f"{_MATH}oMath")):
            _replace_by_text(formula)
        in_contents = False
        for paragraph in list(root.iter(f"{W}p")):
            if self._styles.is_contents(paragraph):
                self._contents += not in_contents
                _remove(paragraph)
                in_contents = True
                continue
            in_contents = False
            self._paragraph(paragraph)
        self._images += sum(1 for _ in root.iter(_PICTURE))

    def _paragraph(self, paragraph: etree._Element) -> None:
        before = None
        for run in list(paragraph.iter(f"{W}r")):
            if self._styles.is_hidden(run):
                words = "".join(run.itertext(f"{W}t")).strip()
                self._hidden += bool(words) and before is None
                before = run
                _remove(run)
            else:
                before = None
        if self._styles.is_title(paragraph) and not self.title:
            self.title = squeeze(clean("".join(paragraph.itertext(f"{W}t"))))
        if level := self._styles.heading_level(paragraph):
            _set_style(paragraph, f"Heading{level}")
        elif (listed := self._styles.list_by_style(paragraph)) is not None:
            _set_numbering(paragraph, _NUMBERS if listed.ordered else _BULLETS, listed.level)

    def notes(self, package: Package, main: str) -> Iterable[Note]:
        """What was left out."""
        if self._hidden:
            yield Note("hidden_text", self._hidden)
        if self._images:
            yield Note("images_skipped", self._images)
        if self._contents:
            yield Note("contents_skipped", self._contents)
        heads = [path for kind in ("header", "footer") for path in package.related(main, kind)]
        if said := sum(1 for path in heads if "".join(package.xml(path).itertext(f"{W}t")).strip()):
            yield Note("running_heads_skipped", said)
        parts = (package.xml(path) for path in package.related(main, "comments"))
        if comments := sum(1 for part in parts for _ in part.iter(f"{W}comment")):
            yield Note("hidden_parts", comments, f"{comments} comments")


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _replace_by_text(formula: etree._Element) -> None:
    run = etree.Element(f"{W}r")
    text = etree.SubElement(run, f"{W}t")
    text.text = "".join(formula.itertext(f"{_MATH}t", f"{W}t"))
    parent = formula.getparent()
    if parent is not None:
        parent.replace(formula, run)


def _properties(paragraph: etree._Element) -> etree._Element:
    found = paragraph.find(f"{W}pPr")
    if found is None:
        found = etree.Element(f"{W}pPr")
        paragraph.insert(0, found)
    return found


def _set_style(paragraph: etree._Element, style: str) -> None:
    properties = _properties(paragraph)
    for old in properties.findall(f"{W}pStyle"):
        properties.remove(old)
    etree.SubElement(properties, f"{W}pStyle").set(f"{W}val", style)


def _set_numbering(paragraph: etree._Element, number: str, level: int) -> None:
    numbering = etree.SubElement(_properties(paragraph), f"{W}numPr")
    etree.SubElement(numbering, f"{W}ilvl").set(f"{W}val", str(level))
    etree.SubElement(numbering, f"{W}numId").set(f"{W}val", number)


def _plain(package: Package, main: str, parts: dict[str, etree._Element]) -> bytes:
    """The file with the changed parts, those that say how they are laid out, and nothing else."""
    numbering = next(package.related(main, "numbering"), "word/numbering.xml")
    root = package.xml(numbering) if numbering in package else etree.Element(f"{W}numbering")
    _add_lists(root)
    whole = {path: etree.tostring(one) for path, one in (*parts.items(), (numbering, root))}
    for path in (*package.related(main, "styles"), *_relationship_parts(package, main)):
        whole[path] = etree.tostring(package.xml(path))
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for path, data in whole.items():
            file.writestr(path, data)
    return out.getvalue()


def _relationship_parts(package: Package, main: str) -> Iterable[str]:
    folder, _, base = main.rpartition("/")
    wanted = ("[Content_Types].xml", "_rels/.rels", f"{folder}/_rels/{base}.rels".lstrip("/"))
    return (path for path in wanted if path in package)


def _add_lists(root: etree._Element) -> None:
    """A bulleted and a numbered list of every depth, for paragraphs that are items by their style alone."""
    for number, form in ((_BULLETS, "bullet"), (_NUMBERS, "decimal")):
        abstract = etree.Element(f"{W}abstractNum")
        abstract.set(f"{W}abstractNumId", number)
        for n in range(_LEVELS):
            level = etree.SubElement(abstract, f"{W}lvl")
            level.set(f"{W}ilvl", str(n))
            etree.SubElement(level, f"{W}numFmt").set(f"{W}val", form)
        root.insert(0, abstract)
        instance = etree.SubElement(root, f"{W}num")
        instance.set(f"{W}numId", number)
        etree.SubElement(instance, f"{W}abstractNumId").set(f"{W}val", number)
