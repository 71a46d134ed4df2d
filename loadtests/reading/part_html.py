"""HTML: what is found and lost of public pages, what structure survives, what is hidden and what is not."""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import lxml.html

from loadtests.bench import Report
from loadtests.reading import gold, themes
from loadtests.reading.pages import HIDDEN, VISIBLE
from loadtests.reading.run import Read, Run, cost, read_all, readers

_HTML = "text/html"
_MARKED = {"headings": "heading", "items": "list", "rows": "table", "paragraphs": ""}
_PATHS = {
    "headings": "//h1|//h2|//h3|//h4|//h5|//h6",
    "items": "//li",
    "rows": "//tr",
    "paragraphs": "//p[not(ancestor::li) and not(ancestor::table)]",
}
_BARS = {"headings": 0.95, "items": 0.80, "rows": 0.98, "paragraphs": 0.98}
_PAGES_OF_THE_SET, _LOST_OF_THE_SET = 990, 15
_SHORTEST = 3
_SIGNATURE = 80


def measure(args: argparse.Namespace, report: Report) -> None:
    """Cases of our own always; the public sets where `--gold` has them."""
    checkouts = readers(args)
    _hidden(report, checkouts)
    _themes(report, checkouts)
    if args.gold:
        _segments(report, checkouts, gold.segments(args.gold))
        _structure(report, checkouts, gold.structured(args.gold))


def _read_markup(pages: Sequence[str], checkout: Path) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.html") for number in range(len(pages))]
        for path, markup in zip(paths, pages, strict=True):
            path.write_text(f"<meta charset='utf-8'>{markup}", "utf-8")
        return read_all(paths, _HTML, checkout=checkout)


def _hidden(report: Report, checkouts: Mapping[str, Path]) -> None:
    rows = []
    for name, checkout in checkouts.items():
        hidden = _read_markup(list(HIDDEN.values()), checkout)
        visible = _read_markup(list(VISIBLE.values()), checkout)
        through = [case for case, file in zip(HIDDEN, hidden.files, strict=True) if "order" in file.text]
        lost = [
            case for case, file in zip(VISIBLE, visible.files, strict=True) if "86 euros" not in file.text
        ]
        rows.append((name, len(through), len(lost), "; ".join(through), "; ".join(lost)))
        if name == "now":
            report.bar(f"hidden texts let through, of {len(HIDDEN)}", len(through), at_most=2)
            report.bar(f"visible texts lost, of {len(VISIBLE)}", len(lost), at_most=1)
    report.table("Hidden and visible", ("reader", "let through", "lost", "which", "which lost"), rows)


def _themes(report: Report, checkouts: Mapping[str, Path]) -> None:
    pages, runs, rows = themes.pages(), {}, []
    for name, checkout in checkouts.items():
        runs[name] = run = _read_markup(list(pages.values()), checkout)
        found = [_theme_counts(file) for file in run.files]
        total = {key: sum(counts[key] for counts in found) for key in found[0]}
        rows.append((name, *total.values()))
        if name == "now":
            for key, each in (("headings", themes.HEADINGS), ("items", themes.ITEMS), ("rows", themes.ROWS)):
                report.bar(f"theme pages, {key}", total[key], at_least=len(each) * len(pages))
            said = total["note"] + total["answer"]
            report.bar("theme pages, notes and answers", said, at_least=2 * len(pages))
            report.bar("theme pages, menu strings that come out", total["leaks"], at_most=3)
    report.table("Pages of eleven themes", ("reader", *total), rows)
    cost(report, "Pages of eleven themes", runs)


def _theme_counts(file: Read) -> dict[str, int]:
    headings = {text for kind, text, _ in file.blocks if kind == "heading"}
    items = {line.strip(" -") for kind, text, _ in file.blocks if kind == "list" for line in text.split("\n")}
    rows = {line for kind, text, _ in file.blocks if kind == "table" for line in text.split("\n")}
    return {
        "headings": sum(heading in headings for heading in themes.HEADINGS),
        "items": sum(item in items for item in themes.ITEMS),
        "rows": sum(row in rows for row in themes.ROWS),
        "note": int(themes.NOTE in file.text),
        "answer": int(themes.QUESTION in file.text and themes.ANSWER in file.text),
        "leaks": sum(string in file.text for string in themes.MENU),
    }


def _segments(report: Report, checkouts: Mapping[str, Path], pages: Sequence[gold.GoldPage]) -> None:
    if not pages:
        report.say("no evaldata.py with its pages in the gold folder: recall is not measured")
        return
    runs, rows = {}, []
    for name, checkout in checkouts.items():
        runs[name] = run = read_all([page.path for page in pages], _HTML, checkout=checkout)
        recall, precision, lost = _found(pages, run.files)
        rows.append((name, len(pages), recall, precision, len(lost), "; ".join(lost[:10])))
        if name == "now":
            report.bar(f"recall, {len(pages)} pages", recall, at_least=0.94)
            report.bar(f"precision, {len(pages)} pages", precision, at_least=0.80)
            allowed = max(1, round(_LOST_OF_THE_SET * len(pages) / _PAGES_OF_THE_SET))
            report.bar(f"pages lost, of {len(pages)}", len(lost), at_most=allowed)
    report.table("Main text", ("reader", "pages", "recall", "precision", "lost", "which"), rows)
    cost(report, "Main text", runs)


def _found(pages: Sequence[gold.GoldPage], files: Sequence[Read]) -> tuple[float, float, list[str]]:
    """Share of wanted segments found, share of those found that were wanted, pages without any."""
    right = wanted = wrong = 0
    lost = []
    for page, file in zip(pages, files, strict=True):
        text = _one_line(file.text)
        hits = sum(_one_line(segment) in text for segment in page.wanted)
        right, wanted = right + hits, wanted + len(page.wanted)
        wrong += sum(_one_line(segment) in text for segment in page.unwanted)
        if not hits:
            lost.append(page.path.name)
    return right / wanted, right / max(1, right + wrong), lost


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _structure(report: Report, checkouts: Mapping[str, Path], pages: Sequence[tuple[Path, Path]]) -> None:
    if not pages:
        report.say("no test-pages in the gold folder: structure is not measured on public pages")
        return
    rows = []
    for name, checkout in checkouts.items():
        run = read_all([source for source, _ in pages], _HTML, checkout=checkout)
        kept, total = dict.fromkeys(_PATHS, 0), dict.fromkeys(_PATHS, 0)
        for (_, expected), file in zip(pages, run.files, strict=True):
            for kind, wanted in _expected(expected).items():
                total[kind] += len(wanted)
                kept[kind] += _kept(wanted, file, _MARKED[kind])
        shares = {kind: kept[kind] / max(1, total[kind]) for kind in _PATHS}
        rows.append((name, len(pages), *shares.values()))
        if name == "now":
            for kind, share in shares.items():
                report.bar(f"{kind} kept, of {total[kind]}", share, at_least=_BARS[kind])
    report.table("Structure", ("reader", "pages", *_PATHS), rows)


def _expected(path: Path) -> dict[str, list[str]]:
    root = lxml.html.fromstring(path.read_text("utf-8"))
    texts = {
        kind: [_letters(element.text_content()) for element in root.xpath(p)] for kind, p in _PATHS.items()
    }
    return {kind: [text for text in found if len(text) >= _SHORTEST] for kind, found in texts.items()}


def _kept(wanted: Sequence[str], file: Read, kind: str) -> int:
    """How many of `wanted` stand in the blocks of `kind`, of any where it is ""."""
    there = "".join(_letters(text) for found, text, _ in file.blocks if kind in ("", found))
    return sum(text[:_SIGNATURE] in there for text in wanted)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())
