import hashlib

import pytest
from itsdangerous import URLSafeSerializer

from backend.security.cookies import Cookies
from backend.security.server_secret import ServerSecret
from tests.support.manual_clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def cookies(clock):
    return Cookies(clock, secret=ServerSecret(b"s" * 32), ttl_s=100)


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


OLD, NEW, THIRD = b"o" * 32, b"n" * 32, b"t" * 32


@pytest.mark.parametrize("earlier", [(OLD,), (THIRD, OLD), (OLD, THIRD)])
def test_a_cookie_of_an_earlier_secret_is_read_and_asks_to_be_renewed(clock, earlier):
    before = Cookies(clock, secret=ServerSecret(OLD), ttl_s=100).issue(credential="k1")
    rotated = Cookies(clock, secret=ServerSecret(NEW, earlier), ttl_s=100)
    session = rotated.read(before)
    assert session.credential == "k1"
    assert rotated.is_ageing(session)
    again = rotated.issue(credential=session.credential, subject=session.subject)
    only_new = Cookies(clock, secret=ServerSecret(NEW), ttl_s=100)
    assert only_new.read(again).subject == session.subject
    assert only_new.read(before) is None


def test_a_cookie_of_an_earlier_secret_expires_all_the_same(clock):
    before = Cookies(clock, secret=ServerSecret(OLD), ttl_s=100).issue()
    clock.advance(101)
    assert Cookies(clock, secret=ServerSecret(NEW, (OLD,)), ttl_s=100).read(before) is None


def test_a_cookie_of_an_earlier_release_is_read_and_asks_to_be_renewed(clock, cookies):
    signer = URLSafeSerializer(
        b"s" * 32, salt="libri_session", signer_kwargs={"digest_method": hashlib.sha256}
    )
    session = cookies.read(signer.dumps(["browser-x", "", clock.now() + 90]))
    assert session.subject == "browser-x"
    assert cookies.is_ageing(session)


def test_another_servers_cookie_is_none(cookies, clock):
    assert cookies.read(Cookies(clock, secret=ServerSecret(b"t" * 32), ttl_s=100).issue()) is None
