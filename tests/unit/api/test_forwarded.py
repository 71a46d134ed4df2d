"""Under which address we were called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from backend.api.forwarded import Authority, authority, is_ours, origin, prefix, schemes
from backend.api.guard_origin import Names
from backend.config import Server

NGINX = {"x-forwarded-for": "203.0.113.9"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Library.Example.org", Authority("library.example.org", None)),
        ("library.example.org.:8443", Authority("library.example.org", 8443)),
        ("[::1]:80", Authority("[::1]", 80)),
        ("[0:0:0:0:0:0:0:1]", Authority("[::1]", None)),
        ("[2001:DB8::1]:8443", Authority("[2001:db8::1]", 8443)),
        *(
            (text, None)
            for text in ("", ".", "a b", "x:99999", "x:", "[x]", "[::1", "user@x", "x/y", "x\u0660:8")
        ),
    ],
)
def test_an_authority_is_read_in_one_spelling(text: str, found: Authority | None) -> None:
    assert authority(text) == found


@pytest.mark.parametrize(
    "text", ["", "null", "file://", "x", "https://", "https://u@x", "ws://x", "http://["]
)
def test_what_is_no_web_origin_is_none(text: str) -> None:
    assert origin(text) is None


OURS = {
    "host": ("http://x", {"host": "x"}),
    "host with a port": ("http://x:8080", {"host": "x:8080"}),
    "tls ended before us": ("https://x", {"host": "x"}),
    "tls ended, port kept": ("https://x:8443", {"host": "x:8443"}),
    "https port spelled out": ("https://x", {"host": "x:443"}),
    "http port spelled out": ("http://x", {"host": "x:80"}),
    "tls ended by the first of two": ("https://x", {"host": "x:80", "x-forwarded-proto": "http"}),
    "upper case and a last dot": ("http://X.:8080", {"host": "x:8080"}),
    "ipv6": ("http://[::1]:8080", {"host": "[0::1]:8080"}),
    "port dropped": ("http://x:8080", {"host": "x", **NGINX}),
    "port dropped, ipv6": ("http://[::1]:8080", {"host": "[::1]", **NGINX}),
    "port told": ("http://x:8080", {"host": "x", "x-forwarded-port": "8080"}),
    "port told by each of two": ("https://x:8443", {"host": "x", "x-forwarded-port": "8443, 80"}),
    "port told of the inner one": ("https://x", {"host": "x", "x-forwarded-port": "8080"}),
    "host rewritten": ("https://x:8443", {"host": "127.0.0.1:8000", "x-forwarded-host": "x:8443"}),
    "host rewritten twice": ("https://x", {"host": "app", "x-forwarded-host": "x, inner:8080"}),
    "forwarded": ("https://x:8443", {"host": "app", "forwarded": 'for=1.2.3.4;Host="x:8443";proto=https'}),
    "forwarded by two": (
        "https://x",
        {"host": "app", "forwarded": "for=1.2.3.4;host=x, for=10.0.0.1;host=y"},
    ),
}
FOREIGN = {
    "another name": ("http://y", {"host": "x"}),
    "another port": ("http://x:8081", {"host": "x:8080"}),
    "another port, default": ("http://x", {"host": "x:8080"}),
    "a port where none is": ("http://x:8080", {"host": "x"}),
    "another port than told": ("http://x:8081", {"host": "x", "x-forwarded-port": "8080", **NGINX}),
    "another port than the default": ("http://x:8081", {"host": "x", "x-forwarded-port": "443", **NGINX}),
    "another port than host told": ("http://x:8081", {"host": "x", "x-forwarded-host": "x:8080", **NGINX}),
    "a port that is no number": ("http://x:8080", {"host": "x", "x-forwarded-port": "eighty"}),
    "name below": ("http://x.evil", {"host": "x", **NGINX}),
    "name above": ("http://evil.x", {"host": "x", **NGINX}),
    "no host": ("http://x", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", OURS)
def test_our_own_page_is_known_behind_any_proxy(case: str) -> None:
    text, headers = OURS[case]
    page = origin(text)
    assert page is not None
    assert is_ours(page, Headers(headers))


@pytest.mark.parametrize("case", FOREIGN)
def test_another_page_is_not_ours(case: str) -> None:
    text, headers = FOREIGN[case]
    page = origin(text)
    assert page is not None
    assert not is_ours(page, Headers(headers))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        *(
            ("/assist", "/assist"),
            ("assist/", "/assist"),
            ("/a/b/", "/a/b"),
            ("/outer, /inner", "/outer/inner"),
        ),
        *(
            (text, "")
            for text in ("", "/", "//", "//evil.org/x", "/a/../b", "/.", '/"><script>', "/a b", "/é")
        ),
        *((text, "") for text in ("/" + "a" * 300, "https://evil.org", "/a?b", "/a#b", "/a\\b", "/a%2f..")),
    ],
)
def test_a_prefix_is_a_plain_path_or_nothing(given: str, found: str) -> None:
    raw = [(b"x-forwarded-prefix", given.encode())]
    assert prefix(Headers(raw=raw)) == found


def test_every_proxy_says_its_scheme() -> None:
    headers = Headers({"x-forwarded-proto": "HTTPS, http", "forwarded": "proto=https;host=x"})
    assert schemes(headers) == ["https", "http", "https"]


@given(st.text(max_size=60), st.sampled_from(["host", "x-forwarded-host", "forwarded", "x-forwarded-port"]))
def test_no_header_makes_another_name_ours(text: str, name: str) -> None:
    page = origin("http://evil.example")
    raw = [(b"host", b"x"), (name.encode(), text.encode())]
    assert page is not None
    assert "evil.example" in text.lower() or not is_ours(page, Headers(raw=raw))


@pytest.mark.parametrize("given", ["/assist", "/assist/", " /assist "])
def test_a_root_path_is_kept_in_one_spelling(given: str) -> None:
    assert Server(root_path=given).root_path == "/assist"
    assert Server(root_path="/").root_path == ""


@pytest.mark.parametrize("given", ["assist", "/api", "/assets/x", "//x", "/../x", "/a b", "https://x/assist"])
def test_a_root_path_that_cannot_work_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="write a path such as `/assist`"):
        Server(root_path=given)


def test_a_name_is_allowed_however_an_operator_writes_it() -> None:
    for written in ("X.example.org", "x.example.org:8443", "https://x.example.org", "x.example.org."):
        assert "x.example.org" in Names([written])
    assert "[::1]" in Names(["::1"])
    assert "a.example.org" in Names(["*.Example.org:8080"])
    assert "example.org" not in Names(["*.example.org"])
    assert "evil.org" not in Names(["example.org", ""])
