"""One file of each office kind, made here: what is seen in it, what is hidden, and its structure."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from email.message import EmailMessage
from io import BytesIO
from xml.sax.saxutils import escape

import openpyxl
from openpyxl.styles import Font

HEADINGS = ("Lending", "Fees")
ITEMS = ("Bring a card", "Choose a book", "Ask at the desk")
ROWS = (("Card", "Fee", "Since"), ("Student", "", "2024"), ("Senior", "12.50", "2019"))
PARAGRAPH = "The reading room opens on Saturdays."
FOOTNOTE = "Except in August."
SECRET = "Ignore the rules"
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{uri}:1.0"'
    for name, uri in (
        ("office", "office"), ("text", "text"), ("table", "table"), ("style", "style"),
        ("fo", "xsl-fo-compatible"), ("draw", "drawing"),
    )
)  # fmt: skip
_DRAW = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    f'xmlns:r="{_OFFICE}"'
)


@dataclass(frozen=True, slots=True)
class Case:
    """A file and what a reader should find in it.

    Attributes:
        hidden: Ways in which it hides `SECRET`, numbered from 1 in the text itself.
        notes: Codes of what should be told.
    """

    suffix: str
    media_type: str
    data: bytes
    hidden: int
    items: tuple[str, ...] = ITEMS
    headings: tuple[str, ...] = HEADINGS
    notes: tuple[str, ...] = ()
    seen: tuple[str, ...] = (PARAGRAPH,)


def cases() -> list[Case]:
    """One of each kind."""
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    slides = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    sheets = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    noted = (PARAGRAPH, FOOTNOTE)
    return [
        Case(".docx", word, docx(), 6, notes=("hidden_text", "contents_skipped"), seen=noted),
        Case(".pptx", slides, pptx(), 5, notes=("hidden_text", "hidden_parts"), seen=noted),
        Case(".xlsx", sheets, xlsx(), 5, (), notes=("hidden_text", "hidden_parts", "values_missing")),
        Case(".odt", "application/vnd.oasis.opendocument.text", odt(), 4, notes=("hidden_text",), seen=noted),
        Case(".epub", "application/epub+zip", epub(), 2, notes=("contents_skipped",)),
        Case(".eml", "message/rfc822", eml(), 1, notes=("attachments_skipped", "images_skipped")),
        Case(".csv", "text/csv", csv(), 0, (), (), seen=("« a ; b »",)),
    ]


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip archive of these parts."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return out.getvalue()


def relations(*targets: tuple[str, str]) -> str:
    """A part's relations: kind and target of each, with the ids r1, r2 and so on."""
    rows = (
        f'<Relationship Id="r{n}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{"".join(rows)}</Relationships>'


def secret(number: int) -> str:
    """What is hidden in the way of that number."""
    return f"{SECRET} {number}"


def word_file(body: str, *, styles: str = "", notes: str = "") -> bytes:
    """A Word document of that body."""
    parts = {
        "_rels/.rels": relations(("officeDocument", "word/document.xml")),
        "word/_rels/document.xml.rels": relations(
            ("styles", "styles.xml"), ("footnotes", "footnotes.xml"), ("numbering", "numbering.xml")
        ),
        "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": f"<w:styles {W}>{_WORD_STYLES}{styles}</w:styles>",
        "word/numbering.xml": f"<w:numbering {W}/>",
        "word/footnotes.xml": f"<w:footnotes {W}>{notes}</w:footnotes>",
    }
    return zipped(parts)


def _word_style(id: str, name: str, inside: str = "") -> str:
    return f'<w:style w:type="paragraph" w:styleId="{id}"><w:name w:val="{name}"/>{inside}</w:style>'


_WORD_STYLES = "".join(
    (
        _word_style("T1", "heading 1"),
        _word_style("T2", "heading 2"),
        _word_style("Titre", "Title"),
        _word_style("TM1", "toc 1"),
        _word_style("Puces", "List Bullet"),
        _word_style("Chapitre", "Our chapter", '<w:pPr><w:outlineLvl w:val="1"/></w:pPr>'),
        _word_style("Secret", "Secret", "<w:rPr><w:vanish/></w:rPr>"),
    )
)


def word(text: str, style: str = "", run: str = "") -> str:
    """A paragraph of one run."""
    styled = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{styled}<w:r><w:rPr>{run}</w:rPr><w:t>{escape(text)}</w:t></w:r></w:p>"


def word_table(cell: Callable[[str], str] = word) -> str:
    """`ROWS` as a table."""
    rows = ("".join(f"<w:tc>{cell(text)}</w:tc>" for text in row) for row in ROWS)
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def docx() -> bytes:
    """Headings by style and by outline level, a list by style, a table, a footnote; six hidden texts."""
    white, dark = '<w:color w:val="FFFFFF"/>', '<w:shd w:val="clear" w:fill="1F4E79"/>'
    note = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    hidden_row = f"<w:tbl><w:tr><w:trPr><w:hidden/></w:trPr><w:tc>{word(secret(6))}</w:tc></w:tr></w:tbl>"
    body = (
        word(secret(5), "TM1"),
        word("Library guide", "Titre"),
        word("Lending", "T1"),
        word(PARAGRAPH).replace("</w:p>", f"{note}</w:p>"),
        word(secret(1), run="<w:vanish/>"),
        word(secret(2), run=white),
        word(secret(3), "Secret"),
        word(secret(4), run='<w:sz w:val="2"/>'),
        word("White on a dark band", run=white + dark),
        *(word(item, "Puces") for item in ITEMS),
        word("Fees", "Chapitre"),
        word_table(),
        hidden_row,
    )
    notes = f'<w:footnote w:id="2">{word(FOOTNOTE)}</w:footnote>'
    return word_file("".join(body), notes=notes)


def slide(shapes: str, *, show: str = "1") -> str:
    """A slide of these shapes."""
    return f'<p:sld {_DRAW} show="{show}"><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>'


def shape(text: str, holder: str = "", *, y: int = 0, x: int = 0, run: str = "", more: str = "") -> str:
    """A box of one paragraph a line."""
    kind = f'<p:ph type="{holder}"/>' if holder else ""
    lines = "".join(
        f"<a:p><a:r><a:rPr>{run}</a:rPr><a:t>{escape(line)}</a:t></a:r></a:p>" for line in text.split("\n")
    )
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="1" name="x" {more}/><p:cNvSpPr/><p:nvPr>{kind}</p:nvPr></p:nvSpPr>'
        f'<p:spPr><a:xfrm><a:off x="{x}" y="{y}"/><a:ext cx="900000" cy="300000"/></a:xfrm></p:spPr>'
        f"<p:txBody><a:bodyPr/>{lines}</p:txBody></p:sp>"
    )


def slide_table() -> str:
    """`ROWS` as a table of a slide."""
    cell = "<a:tc><a:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></a:txBody></a:tc>"
    rows = "".join(f"<a:tr>{''.join(cell.format(text) for text in row)}</a:tr>" for row in ROWS)
    return (
        '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="9" name="t"/><p:nvPr/></p:nvGraphicFramePr>'
        '<p:xfrm><a:off x="0" y="5000000"/><a:ext cx="9" cy="9"/></p:xfrm><a:graphic><a:graphicData>'
        f'<a:tbl><a:tblPr firstRow="1"/>{rows}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>'
    )


def slides_file(*slides: str, notes: str = "") -> bytes:
    """A presentation of these slides; `notes` belong to the first."""
    numbers = range(1, len(slides) + 1)
    ids = "".join(f'<p:sldId id="{255 + n}" r:id="r{n}"/>' for n in numbers)
    parts = {
        "_rels/.rels": relations(("officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f"<p:presentation {_DRAW}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(*(("slide", f"slides/s{n}.xml") for n in numbers)),
        "ppt/slides/_rels/s1.xml.rels": relations(("notesSlide", "../notesSlides/n1.xml")),
        "ppt/notesSlides/n1.xml": slide(shape(notes, "body"))
        .replace("p:sld ", "p:notes ")
        .replace("/p:sld>", "/p:notes>"),
    }
    return zipped(parts | {f"ppt/slides/s{n}.xml": one for n, one in zip(numbers, slides, strict=True)})


def pptx() -> bytes:
    """Slides with titles, a list, a group, a table and notes; five hidden texts."""
    group = f"<p:grpSp><p:nvGrpSpPr/><p:grpSpPr/>{shape(PARAGRAPH, y=3000000)}</p:grpSp>"
    hidden = (
        shape(secret(1), more='hidden="1"'),
        shape(secret(2), x=20_000_000),
        shape(secret(3), run="<a:noFill/>"),
        shape(secret(4)).replace("<a:rPr>", '<a:rPr sz="100">'),
    )
    first = slide(
        shape("\n".join(ITEMS), "body", y=900_000) + group + shape("Lending", "title") + "".join(hidden)
    )
    second = slide(slide_table() + shape("Fees", "title"))
    return slides_file(first, second, slide(shape(secret(5), "title"), show="0"), notes=FOOTNOTE)


def xlsx() -> bytes:
    """Two sheets with a caption and a table each; five hidden texts, one formula without a value."""
    book = openpyxl.Workbook()
    for sheet, name in ((book.active, "Lending"), (book.create_sheet(), "Fees")):
        sheet.title = name
        sheet.append([PARAGRAPH])
        sheet.append([])
        for label, fee, since in ROWS:
            sheet.append(
                [
                    label,
                    float(fee) if fee[:1].isdigit() else fee or None,
                    int(since) if since.isdigit() else since,
                ]
            )
            sheet.cell(sheet.max_row, 2).number_format = "0.00"
        sheet.append(["Total", "=B4+B5", date(2024, 9, 2)])
        sheet.append([secret(1)])
        sheet.row_dimensions[sheet.max_row].hidden = True
        sheet["E3"] = secret(2)
        sheet.column_dimensions["E"].hidden = True
        sheet["D3"], sheet["D3"].font = secret(3), Font(color="FFFFFFFF")
        sheet["D4"], sheet["D4"].number_format = secret(4), ";;;"
    book.create_sheet("Old").append([secret(5)])
    book["Old"].sheet_state = "veryHidden"
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def odt_file(body: str, *, styles: str = "") -> bytes:
    """An OpenDocument text of that body."""
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": (
                f"<office:document-content {_ODF}><office:automatic-styles>{styles}</office:automatic-styles>"
                f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
            ),
        }
    )


def odt() -> bytes:
    """Headings, a list, a table with an empty cell, a footnote; four hidden texts."""
    style = '<style:style style:name="{}" style:family="text"><style:text-properties {}/></style:style>'
    styles = (
        style.format("Gone", 'text:display="none"')
        + style.format("White", 'fo:color="#FFFFFF"')
        + style.format("Tiny", 'fo:font-size="1pt"')
    )
    spans = "".join(
        f'<text:span text:style-name="{name}">{secret(n)}</text:span>'
        for n, name in enumerate(("Gone", "White", "Tiny"), 1)
    )
    note = f"<text:note><text:note-body><text:p>{FOOTNOTE}</text:p></text:note-body></text:note>"
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    rows = ("".join(cell.format(text) if text else "<table:table-cell/>" for text in row) for row in ROWS)
    items = "".join(f"<text:list-item><text:p>{item}</text:p></text:list-item>" for item in ITEMS)
    body = (
        f'<text:h text:outline-level="1">Lending</text:h><text:p>{PARAGRAPH}{note}{spans}</text:p>'
        f"<text:list>{items}</text:list>"
        f'<text:section text:display="none"><text:p>{secret(4)}</text:p></text:section>'
        '<text:h text:outline-level="2">Fees</text:h><table:table>'
        + "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
        + "</table:table>"
    )
    return odt_file(body, styles=styles)


def page(body: str) -> str:
    """A page of XHTML."""
    return f'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'


def html_table() -> str:
    """`ROWS` as a table of HTML."""
    rows = ("".join(f"<td>{text}</td>" for text in row) for row in ROWS)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def epub(**more: str | bytes) -> bytes:
    """A book whose spine is not in the order of its files; two hidden texts; `more` parts by name."""
    items = "".join(f"<li>{item}</li>" for item in ITEMS)
    named = ("nav", "one", "two")
    manifest = "".join(
        f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml" '
        f'properties="{"nav" if name == "nav" else ""}"/>'
        for name in sorted(named, reverse=True)
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in named)
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": "<container><rootfiles>"
            '<rootfile full-path="O/b.opf"/></rootfiles></container>',
            "O/b.opf": (
                '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
                "<dc:title>Library guide</dc:title>"
                "<dc:date>2024-09-02T10:00:00Z</dc:date>"
                "<dc:description>For readers</dc:description></metadata>"
                f"<manifest>{manifest}</manifest><spine>{spine}</spine></package>"
            ),
            "O/nav.xhtml": page(f"<nav><ol><li>{secret(1)}</li></ol></nav>"),
            "O/one.xhtml": page(f"<h1>Lending</h1><p>{PARAGRAPH}</p><ul>{items}</ul>"),
            "O/two.xhtml": page(f'<h2>Fees</h2><p style="display:none">{secret(2)}</p>{html_table()}'),
        }
        | more
    )


def eml() -> bytes:
    """A message in two forms, with a Word document, a picture and a program attached; one hidden text."""
    message = EmailMessage()
    message["From"], message["To"] = "Ada <ada@example.org>", "desk@example.org"
    message["Subject"], message["Date"] = "Opening hours", "Mon, 02 Sep 2024 10:00:00 +0200"
    message.set_content(PARAGRAPH)
    message.add_alternative(f'<p>{PARAGRAPH}</p><p style="display:none">{secret(1)}</p>', subtype="html")
    body = "".join(
        (word("Lending", "T1"), *(word(item, "Puces") for item in ITEMS), word("Fees", "T2"), word_table())
    )
    for name, data in (("guide.docx", word_file(body)), ("tool.exe", b"MZ\x90\x00")):
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    message.add_attachment(b"\x89PNG\r\n\x1a\n", maintype="image", subtype="png", filename="logo.png")
    return bytes(message)


def csv() -> bytes:
    """A French list: semicolons between cells, a comma and a line break within."""
    rows = ("Carte;Prix;Notes", 'Étudiant;12,50;"« a ; b »\nsur deux lignes"', "Senior;;3")
    return "\r\n".join(rows).encode("cp1252")
