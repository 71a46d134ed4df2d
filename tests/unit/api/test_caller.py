"""Whose address counts: that of the connection, or the one that trusted proxies tell."""

import pytest
from starlette.datastructures import Headers

from backend.api.forwarded import caller
from backend.core.networks import address, network

TRUSTED = [network("10.0.0.0/24"), network("fd00::/64")]


def told(*lines: str, name: str = "x-forwarded-for") -> Headers:
    return Headers(raw=[(name.encode(), line.encode()) for line in lines])


@pytest.mark.parametrize(
    ("peer", "headers", "means"),
    [
        ("192.0.2.7", told(), "192.0.2.7"),
        ("::ffff:192.0.2.7", told(), "192.0.2.7"),
        ("10.0.0.1", told(), "10.0.0.1"),
        ("10.0.0.1", told("192.0.2.7"), "192.0.2.7"),
        ("fd00::1", told("2001:db8::7"), "2001:db8::7"),
        ("10.0.0.1", told("[2001:db8::7]:4711"), "2001:db8::7"),
        ("10.0.0.1", told("172.16.0.9, 192.0.2.7"), "192.0.2.7"),
        ("10.0.0.1", told("172.16.0.9", "192.0.2.7, 10.0.0.2"), "192.0.2.7"),
        ("10.0.0.1", told("10.0.0.9"), "10.0.0.9"),
    ],
)
def test_it_is_the_last_one_whom_a_trusted_proxy_saw(peer, headers, means):
    assert caller(peer, headers, TRUSTED) == address(means)


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("192.0.2.7", told("172.16.0.9")),
        ("10.0.0.1", told("unknown")),
        ("10.0.0.1", told("172.16.0.9, _hidden, 10.0.0.2")),
        ("10.0.0.1", told("")),
        ("10.0.0.1", told("1.1 proxy", name="via")),
        ("10.0.0.1", told("for=172.16.0.9", name="forwarded")),
        ("10.0.0.1", told("172.16.0.9", name="x-real-ip")),
        ("", told()),
        ("testclient", told()),
    ],
)
def test_without_a_trusted_word_it_is_not_known(peer, headers):
    assert caller(peer, headers, TRUSTED) is None


def test_nobody_is_trusted_unless_the_settings_say_so():
    assert caller("127.0.0.1", told("127.0.0.1"), []) is None
