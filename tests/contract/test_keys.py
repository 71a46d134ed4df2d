from collections.abc import AsyncIterator

import pytest

from backend.core.errors import InvalidRequest, NotFound, Unauthenticated
from backend.core.types import Role
from backend.security.base import KeyStore
from backend.security.cached import CachedKeys
from backend.security.sql import SqlKeys
from tests.support.databases import empty_database, postgres_url, sqlite_url
from tests.support.manual_clock import ManualClock
from tests.support.memory_keys import MemoryKeys

__all__ = ["postgres_url"]

PEPPER = b"p" * 32
GRANT = {
    "name": "the shop's page",
    "tenant": "shop",
    "roles": frozenset({Role.READER, Role.WRITER}),
    "corpora": frozenset({"default"}),
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "cached", "sqlite", "postgres"])
async def keys(request, tmp_path, clock) -> AsyncIterator[KeyStore]:
    if request.param in ("memory", "cached"):
        inner = MemoryKeys(clock)
        yield CachedKeys(inner, clock) if request.param == "cached" else inner
        return
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with empty_database(url) as engine:
        yield SqlKeys(engine, clock, pepper=PEPPER)


async def test_a_key_stands_for_what_it_was_granted(keys):
    new = await keys.create(**GRANT)
    key = await keys.authenticate(new.secret)
    assert key == new.key == await keys.get(new.key.id)
    principal = key.principal
    assert (principal.tenant, principal.subject) == ("shop", f"key-{key.id}")
    assert principal.roles == GRANT["roles"]
    assert principal.may_read("default")
    assert not principal.may_read("other")


async def test_a_secret_has_256_random_bits_and_is_not_shown_again(keys):
    first, second = await keys.create(**GRANT), await keys.create(**GRANT)
    assert first.secret != second.secret
    assert len(first.secret.rsplit("_", 1)[1]) == 64
    assert first.secret not in repr(await keys.keys()) + repr(first) + repr(first.key)


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1] + ("0" if s[-1] != "0" else "1"), lambda s: s + " ", str.upper]
)
async def test_a_key_that_differs_is_not_known(keys, change):
    new = await keys.create(**GRANT)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(change(new.secret))


@pytest.mark.parametrize(
    "text", ["", "libri_", "Bearer x", "libri_0123456789abcdef_" + "0" * 64, "\x00", "\ud800", "é"]
)
async def test_text_that_is_no_key_is_not_known(keys, text):
    with pytest.raises(Unauthenticated):
        await keys.authenticate(text)
    with pytest.raises(Unauthenticated):
        await keys.get(text)


async def test_a_revoked_key_is_worthless_at_once(keys, clock):
    new, other = await keys.create(**GRANT), await keys.create(**GRANT)
    await keys.authenticate(new.secret)
    await keys.revoke(new.key.id)
    clock.advance(1)
    await keys.revoke(new.key.id)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(new.secret)
    with pytest.raises(Unauthenticated):
        await keys.get(new.key.id)
    await keys.authenticate(other.secret)
    revoked = {key.id: key.revoked for key in await keys.keys()}
    assert revoked == {new.key.id: clock.now() - 1, other.key.id: None}


async def test_an_unknown_key_cannot_be_revoked(keys):
    for odd in ("unknown", "\x00"):
        with pytest.raises(NotFound):
            await keys.revoke(odd)


async def test_keys_exist_while_one_is_good(keys):
    assert not await keys.exist()
    await keys.create(**GRANT)
    assert await keys.exist()


@pytest.mark.parametrize(
    "bad", [{"name": " "}, {"name": "x" * 101}, {"name": "a\nb"}, {"roles": frozenset()}]
)
async def test_a_key_nobody_could_recognise_or_use_is_not_made(keys, bad):
    with pytest.raises(InvalidRequest):
        await keys.create(**(GRANT | bad))
    assert list(await keys.keys()) == []
