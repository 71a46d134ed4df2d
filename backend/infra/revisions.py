"""Which revisions of the tables this release knows; the last one is what it writes."""

from __future__ import annotations

from pathlib import Path

KNOWN = frozenset(path.name[:4] for path in (Path(__file__).parent / "migrations/versions").glob("[0-9]*.py"))
HEAD = max(KNOWN)
