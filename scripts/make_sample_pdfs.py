"""Make the PDFs of the sample corpus from `scripts/sample_sources`: the same bytes every time.

python scripts/make_sample_pdfs.py [--check]
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "scripts" / "sample_sources"
TARGET = ROOT / "backend" / "sample"

BODY = ParagraphStyle("body", fontName="Times-Roman", fontSize=10.5, leading=14, spaceAfter=7, alignment=4)
ITEM = ParagraphStyle("item", parent=BODY, leftIndent=12, bulletIndent=2, spaceAfter=3)
CELL = ParagraphStyle("cell", parent=BODY, fontSize=9.5, leading=12, spaceAfter=0, alignment=0)
HEADINGS = {
    size: ParagraphStyle(
        f"h{n}",
        fontName="Helvetica-Bold",
        fontSize=size,
        leading=size * 1.25,
        spaceBefore=9,
        spaceAfter=5,
        keepWithNext=1,
    )
    for n, size in ((1, 19), (2, 14), (3, 11.5))
}
BY_MARK = dict(zip(("# ", "## ", "### "), HEADINGS.values(), strict=True))


def flowables(source: str) -> list[Flowable]:
    """The parts of a document written in a small subset of Markdown."""
    parts: list[Flowable] = []
    for paragraph in source.strip().split("\n\n"):
        lines = paragraph.split("\n")
        mark = lines[0].split(" ")[0] + " "
        if mark in BY_MARK:
            parts.append(Paragraph(lines[0].removeprefix(mark), BY_MARK[mark]))
        elif mark == "- ":
            parts += [Paragraph(line.removeprefix("- "), ITEM, bulletText="•") for line in lines]
            parts.append(Spacer(1, 4))
        elif mark == "| ":
            parts += [table(lines), Spacer(1, 8)]
        else:
            parts.append(Paragraph(" ".join(lines), BODY))
    return parts


def table(lines: list[str]) -> Table:
    """A ruled table."""
    rows = [[Paragraph(cell.strip(), CELL) for cell in line.strip("| ").split(" | ")] for line in lines]
    grid = Table(rows, hAlign="LEFT", repeatRows=1)
    grid.setStyle([("GRID", (0, 0), (-1, -1), 0.4, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")])
    return grid


def pdf(source: str) -> bytes:
    """The document as PDF, with a running head and page numbers."""
    title = source.split("\n", 1)[0].removeprefix("# ")

    def furniture(canvas: Canvas, document: SimpleDocTemplate) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(18 * mm, A5[1] - 11 * mm, f"Les Deux Rives · {title}")
        canvas.drawRightString(A5[0] - 18 * mm, 9 * mm, str(document.page))

    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A5,
        title=title,
        author="Les Deux Rives",
        leftMargin=18 * mm,
        rightMargin=18 * mm,
        topMargin=18 * mm,
        bottomMargin=18 * mm,
    )
    document.build(flowables(source), onFirstPage=furniture, onLaterPages=furniture)
    return out.getvalue()


def main() -> int:
    """Write the files; with `--check`, only say whether they are up to date."""
    rl_config.invariant = 1
    stale = []
    for source in sorted(SOURCES.rglob("*.md")):
        target = (TARGET / source.relative_to(SOURCES)).with_suffix(".pdf")
        made = pdf(source.read_text(encoding="utf-8"))
        if target.exists() and target.read_bytes() == made:
            continue
        stale.append(target.name)
        if "--check" not in sys.argv:
            target.write_bytes(made)
    print("\n".join(stale) or "up to date")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
