import pytest

from backend.core.errors import UnreadableDocument, UnsupportedDocument
from backend.ingest.parse.detect import KINDS_READ, SKIPPED_SUFFIXES, SUFFIXES, media_type


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.md", b"# x", "text/markdown"),
        ("a.MARKDOWN", b"# x", "text/markdown"),
        ("a.htm", b"<p>x", "text/html"),
        ("a.pdf", b"%PDF-1.7\n", "application/pdf"),
        ("a.pdf", b"junk\n%PDF-1.7\n1 0 obj\nendobj", "application/pdf"),
        ("a.txt", "é".encode("utf-16"), "text/plain"),
        ("README", b"hello", "text/plain"),
        ("page", b"\n<!DOCTYPE html><p>x", "text/html"),
        ("paper", b"%PDF-1.4 ", "application/pdf"),
        ("pdfs.txt", b"A file begins with %PDF-1.4, says the norm.", "text/plain"),
    ],
)
def test_suffix_and_content_tell_the_format(name, data, kind):
    assert media_type(name, data) == kind


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("photo.pdf", b"\x89PNG\r\n\x1a\n....", "PNG"),
        ("note.md", b"PK\x03\x04....", "zip"),
        ("note.txt", b"%PDF-1.4 ...", "a PDF"),
        ("page.html", b"\x1f\x8b....", "gzip"),
        ("paper.pdf", b"<html>", "not one"),
        ("a.txt", b"a\x00b", "not text"),
        ("a.docx", b"hello", "not one"),
        ("a.doc", b"PK\x03\x04", "only"),
        ("a.exe", b"MZ", "only"),
    ],
)
def test_content_of_another_kind_is_refused_by_name(name, data, reason):
    with pytest.raises(UnsupportedDocument, match=reason):
        media_type(name, data)


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00" * 10])
def test_an_empty_file_says_so(data):
    with pytest.raises(UnreadableDocument, match="empty"):
        media_type("a.md", data)


def test_every_suffix_that_is_read_is_named_in_the_refusal_and_none_is_skipped():
    assert all(suffix in KINDS_READ for suffix in SUFFIXES)
    assert not SKIPPED_SUFFIXES & SUFFIXES.keys()
    assert {".png", ".svg", ".mp4", ".woff2", ".css", ".js", ".ico"} <= SKIPPED_SUFFIXES
