import pytest

from backend.security.cookies import Cookies
from tests.support.manual_clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def cookies(clock):
    return Cookies(clock, secret=b"s" * 32, ttl_s=100)


def test_each_browser_is_its_own_subject(cookies):
    first, second = cookies.read(cookies.issue()), cookies.read(cookies.issue())
    assert first.subject != second.subject
    assert len(first.subject) > 20


def test_a_cookie_expires(cookies, clock):
    value = cookies.issue(credential="k1")
    assert cookies.read(value).credential == "k1"
    clock.advance(101)
    assert cookies.read(value) is None


def test_an_old_cookie_asks_to_be_renewed(cookies, clock):
    session = cookies.read(cookies.issue())
    assert not cookies.is_ageing(session)
    clock.advance(60)
    assert cookies.is_ageing(session)


@pytest.mark.parametrize(
    "forge", [lambda v: v + "x", lambda v: v[:-1], lambda v: v.swapcase(), lambda v: v * 99]
)
def test_a_forged_cookie_is_none(cookies, forge):
    assert cookies.read(forge(cookies.issue())) is None


@pytest.mark.parametrize("value", ["", ".", "a.b.c", "\x00", "\ud800", "é" * 10])
def test_a_damaged_cookie_is_none(cookies, value):
    assert cookies.read(value) is None


def test_another_servers_cookie_is_none(cookies, clock):
    assert cookies.read(Cookies(clock, secret=b"t" * 32, ttl_s=100).issue()) is None
