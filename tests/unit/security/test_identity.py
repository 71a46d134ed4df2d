import pytest

from backend.core.errors import Unauthenticated
from backend.core.types import Role
from backend.security.cookies import Cookies
from backend.security.identity import Identity
from backend.security.keys import mac
from backend.security.server_secret import ServerSecret
from tests.support.manual_clock import ManualClock
from tests.support.memory_keys import MemoryKeys

SECRET = ServerSecret(b"s" * 32)
GRANT = {"name": "k", "tenant": "shop", "roles": frozenset({Role.READER}), "corpora": frozenset({"default"})}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def keys(clock):
    return MemoryKeys(clock)


@pytest.fixture
def make(clock, keys):
    cookies = Cookies(clock, secret=SECRET, ttl_s=100)
    return lambda api_key="": Identity(keys, cookies, api_key=api_key, secret=SECRET)


async def test_without_keys_each_browser_is_a_subject_with_every_role(make):
    identity = make()
    assert not await identity.is_required()
    first, second = [await identity.of_cookie(identity.visitor()) for _ in range(2)]
    assert first.subject != second.subject
    assert first.roles == frozenset(Role)


async def test_with_a_key_a_visitors_cookie_is_worth_nothing(make, keys):
    visitor = make().visitor()
    with pytest.raises(Unauthenticated):
        await make("sesame").of_cookie(visitor)
    await keys.create(**GRANT)
    with pytest.raises(Unauthenticated):
        await make().of_cookie(visitor)


async def test_the_operators_key_opens_everything(make):
    identity = make("sesame")
    assert (await identity.of_key("sesame")).roles == frozenset(Role)
    for wrong in ("", "sesam", "sesame ", "\ud800"):
        with pytest.raises(Unauthenticated):
            await identity.of_key(wrong)


async def test_the_token_of_a_start_is_the_operators_and_asks_nobody_for_a_key(clock, keys):
    cookies = Cookies(clock, secret=SECRET, ttl_s=100)
    identity = Identity(keys, cookies, api_key="", secret=SECRET, start_token="of this start")
    assert not await identity.is_required()
    operator = await identity.of_key("of this start")
    assert (operator.tenant, operator.roles) == ("local", frozenset(Role))
    with pytest.raises(Unauthenticated):
        await identity.of_key("of an earlier start")


async def test_an_empty_key_opens_nothing_where_there_is_none(make):
    with pytest.raises(Unauthenticated):
        await make().of_key("")


async def test_a_browser_that_signed_in_is_its_own_subject_with_the_keys_rights(make, keys):
    identity, new = make(), await keys.create(**GRANT)
    first, second = [await identity.of_cookie(await identity.sign_in(new.secret)) for _ in range(2)]
    assert first.subject != second.subject
    assert (first.tenant, first.roles, first.corpora) == ("shop", GRANT["roles"], GRANT["corpora"])


async def test_revoking_a_key_ends_the_cookies_given_for_it(make, keys):
    identity, new = make("sesame"), await keys.create(**GRANT)
    cookie = await identity.sign_in(new.secret)
    await keys.revoke(new.key.id)
    with pytest.raises(Unauthenticated):
        await identity.of_cookie(cookie)


async def test_changing_the_operators_key_ends_the_cookies_given_for_it(make):
    cookie = await make("sesame").sign_in("sesame")
    assert (await make("sesame").of_cookie(cookie)).tenant == "local"
    for other in (make("open"), make()):
        with pytest.raises(Unauthenticated):
            await other.of_cookie(cookie)


async def test_after_a_rotation_the_operators_cookie_is_good_and_its_successor_outlives_the_old_secret(
    clock, keys
):
    def at(*secrets: bytes) -> Identity:
        secret = ServerSecret(secrets[0], secrets[1:])
        return Identity(keys, Cookies(clock, secret=secret, ttl_s=100), api_key="sesame", secret=secret)

    old, new, third = (letter * 32 for letter in (b"o", b"n", b"t"))
    cookie = await at(old).sign_in("sesame")
    rotated = at(new, third, old)
    assert (await rotated.of_cookie(cookie)).roles == frozenset(Role)
    renewed = rotated.renewed(cookie)
    assert (await at(new).of_cookie(renewed)).subject == (await rotated.of_cookie(cookie)).subject
    with pytest.raises(Unauthenticated):
        await at(new).of_cookie(cookie)


async def test_what_an_earlier_release_gave_the_operators_browser_is_good(make, clock):
    mark = mac(b"s" * 32, mac(b"s" * 32, "sesame"))[:16]
    cookie = Cookies(clock, secret=SECRET, ttl_s=100).issue(credential=f"operator-{mark}")
    assert (await make("sesame").of_cookie(cookie)).roles == frozenset(Role)
    with pytest.raises(Unauthenticated):
        await make("open").of_cookie(cookie)


async def test_an_ageing_cookie_is_renewed_for_the_same_subject(make, clock):
    identity = make("sesame")
    cookie = await identity.sign_in("sesame")
    assert identity.renewed(cookie) is None
    clock.advance(60)
    renewed = identity.renewed(cookie)
    assert (await identity.of_cookie(renewed)).subject == (await identity.of_cookie(cookie)).subject
    clock.advance(60)
    with pytest.raises(Unauthenticated):
        await identity.of_cookie(cookie)
    await identity.of_cookie(renewed)


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t", "\ufeff{}", "\u00a0{} "])
async def test_what_is_pasted_around_a_key_does_not_keep_one_out(make, keys, around):
    identity = make("sesame")
    new = await keys.create(**GRANT)
    assert (await identity.of_cookie(await identity.sign_in(around.format("sesame")))).roles == frozenset(
        Role
    )
    granted = await identity.of_cookie(await identity.sign_in(around.format(new.secret)))
    assert granted.tenant == "shop"
