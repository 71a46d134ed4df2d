"""Public sets of web pages with what is to be found in them; they belong to their sites and are not shipped.

Two layouts are known: trafilatura's tests (`evaldata.py` beside `cache/` and `eval/`), and Mozilla
Readability's (`test-pages/*/source.html` and `expected.html`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GoldPage:
    """One page, segments that belong to its content, and segments that do not."""

    path: Path
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


def segments(folder: Path) -> list[GoldPage]:
    """The pages of `evaldata.py` whose files are there."""
    source = folder / "evaldata.py"
    if not source.is_file():
        return []
    tree = ast.parse(source.read_text("utf-8"))
    table = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(getattr(name, "id", "") == "EVAL_PAGES" for name in node.targets)
    )
    pages = []
    for entry in table.values():
        found = (folder / where / entry["file"] for where in ("cache", "eval"))
        path = next((path for path in found if path.is_file()), None)
        if path and entry["with"]:
            pages.append(GoldPage(path, tuple(entry["with"]), tuple(entry["without"])))
    return pages


def structured(folder: Path) -> list[tuple[Path, Path]]:
    """Source and expected markup of each test page."""
    pages = sorted((folder / "test-pages").glob("*/source.html"))
    return [
        (page, page.with_name("expected.html")) for page in pages if page.with_name("expected.html").is_file()
    ]
