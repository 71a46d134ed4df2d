"""What a page or a front matter says of its document: its date, and in a line what it is about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from typing import Any

from lxml import etree

from backend.ingest.base import About
from backend.ingest.parse.text import clean, squeeze

MAX_DESCRIPTION = 300
_CHANGED = (
    str.split(
        "article:modified_time og:updated_time last-modified dcterms.modified dc.date.modified datemodified "
        "revised"
    ),
    str.split(
        "article:published_time og:published_time og:article:published_time date dc.date dc.date.issued "
        "dcterms.created dcterms.date dcterms.issued datepublished pubdate publishdate "
        "citation_publication_date"
    ),
)
_DESCRIBED = ("description", "og:description", "twitter:description", "dc.description", "dcterms.description")
_ISO = re.compile(r"(\d{4})(?:-?(\d{2})(?:-?(\d{2}))?)?(?=$|[T\s+Z])")
_DAY_FIRST = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})$")
_MAX_JSON = 500_000
_MAX_DEPTH = 6


def of_page(root: etree._Element) -> About:
    """What the page says in `meta`, in JSON-LD, in its `time` elements."""
    said = _meta(root)
    linked = _linked_data(root)
    dates = (
        *(said.get(name, "") for name in _CHANGED[0]),
        linked.get("dateModified", ""),
        *(said.get(name, "") for name in _CHANGED[1]),
        linked.get("datePublished", ""),
        *_times(root),
    )
    day = next((found for found in map(iso_day, dates) if found), "")
    described = (*(said.get(name, "") for name in _DESCRIBED), linked.get("description", ""))
    return About(day, next((line for line in map(one_line, described) if line), ""))


def of_front_matter(fields: Mapping[str, Any]) -> About:
    """What the fields of a front matter say; the date of the last change first."""
    low = {str(name).lower(): value for name, value in fields.items()}
    dates = (
        low.get(name) for name in ("lastmod", "updated", "last_modified_at", "modified", "date", "pubdate")
    )
    day = next((found for found in (iso_day(str(value)) for value in dates if value) if found), "")
    described = next((low[name] for name in ("description", "summary", "excerpt") if low.get(name)), "")
    return About(day, one_line(described) if isinstance(described, str) else "")


def iso_day(text: str) -> str:
    """The day, month or year that `text` begins with, as ISO 8601; "" where it is none."""
    text = text.strip()
    if match := _DAY_FIRST.match(text):
        day, month, year = match.groups()
        return _checked(year, month.zfill(2), day.zfill(2))
    match = _ISO.match(text)
    return _checked(*match.groups()) if match else ""


def one_line(text: str) -> str:
    """`text` as one line of at most `MAX_DESCRIPTION` characters."""
    line = squeeze(clean(text))
    return line if len(line) <= MAX_DESCRIPTION else line[:MAX_DESCRIPTION].rsplit(" ", 1)[0] + "…"


def _checked(year: str, month: str | None, day: str | None) -> str:
    with suppress(ValueError):
        date(int(year), int(month or 1), int(day or 1))
        if 1500 <= int(year) <= 2200:
            return "-".join(part for part in (year, month, day if month else None) if part)
    return ""


def _meta(root: etree._Element) -> dict[str, str]:
    said: dict[str, str] = {}
    for meta in root.iter("meta"):
        name = (
            meta.get("property") or meta.get("name") or meta.get("itemprop") or meta.get("http-equiv") or ""
        )
        if (content := meta.get("content", "").strip()) and name:
            said.setdefault(name.strip().lower(), content)
    return said


def _linked_data(root: etree._Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for script in root.xpath("//script[@type='application/ld+json']"):
        with suppress(ValueError, RecursionError):
            for thing in _things(json.loads((script.text or "")[:_MAX_JSON]), 0):
                for name in ("dateModified", "datePublished", "description"):
                    if isinstance(thing.get(name), str):
                        found.setdefault(name, thing[name])
    return found


def _things(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Every object that says when it was published, in `value`."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        if "datePublished" in value or "dateModified" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _things(one, depth + 1)


def _times(root: etree._Element) -> list[str]:
    """What the `time` elements say that are marked as the page's date, or the only one there is."""
    times = list(root.iter("time"))
    marked = [
        time
        for time in times
        if time.get("itemprop") in ("datePublished", "dateModified") or "pubdate" in time.attrib
    ]
    chosen = marked or (times if len({time.get("datetime") for time in times}) == 1 else [])
    return [time.get("datetime") or "".join(time.itertext()) for time in chosen]
