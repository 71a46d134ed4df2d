import pytest

from backend.core.types import About
from backend.ingest.parse.web import html
from backend.ingest.parse.web.about import iso_day


@pytest.mark.parametrize(
    ("head", "about"),
    [
        ('<meta name="description" content=" Prix\n des cartes ">', About("", "Prix des cartes")),
        ('<meta property="og:description" content="Prix">', About("", "Prix")),
        ('<meta property="article:published_time" content="2024-03-05T10:00:00Z">', About("2024-03-05")),
        ('<meta name="DC.date" content="2024-03">', About("2024-03")),
        (
            '<script type="application/ld+json">{"@graph":[{"@type":"Article","datePublished":"2023-01-02",'
            '"dateModified":"2024-03-05T10:00","description":"Prix"}]}</script>',
            About("2024-03-05", "Prix"),
        ),
        ('<script type="application/ld+json">{"broken</script>', About()),
        ('<script type="application/ld+json">' + "[" * 50_000 + "</script>", About()),
        ("</head><body><time datetime='2024-03-05'>5 mars</time>", About("2024-03-05")),
        ("</head><body><time datetime='2024-03-05'>a</time><time datetime='2020-01-01'>b</time>", About()),
    ],
)
def test_a_page_says_when_and_of_what_it_is(head, about):
    assert html.read(f"<html><head>{head}<p>text</p>".encode()).about == about


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-03-05T10:00:00+01:00", "2024-03-05"),
        ("20240305", "2024-03-05"),
        ("2024", "2024"),
        ("05/03/2024", "2024-03-05"),
        ("2024-13-05", ""),
        ("2024-02-31", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_a_date_is_a_day_a_month_or_a_year(text, day):
    assert iso_day(text) == day
