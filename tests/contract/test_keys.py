from asyncio import gather
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core.errors import InvalidRequest, Misconfigured, NotFound, Unauthenticated
from backend.core.types import Role
from backend.infra.driver import open_driver
from backend.infra.sql import transaction
from backend.security.base import KeyStore
from backend.security.cached import CachedKeys
from backend.security.keys import mac
from backend.security.plain import PlainKeys
from backend.security.shared_secret import agreed, stored
from backend.security.sql import SqlKeys
from backend.security.tables import keys as table
from backend.security.tables import secrets
from tests.support.databases import empty_database, postgres_url, sqlite_url
from tests.support.manual_clock import ManualClock
from tests.support.memory_keys import MemoryKeys

__all__ = ["postgres_url"]

GRANT = {
    "name": "the shop's page",
    "tenant": "shop",
    "roles": frozenset({Role.READER, Role.WRITER}),
    "corpora": frozenset({"default"}),
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Together:
    """Keys that commands make, list and revoke, and that a server knows."""

    def __init__(self, plain: PlainKeys, known: SqlKeys) -> None:
        self.create, self.keys, self.revoke = plain.create, plain.keys, plain.revoke
        self.authenticate, self.get, self.exist = known.authenticate, known.get, known.exist


@pytest.fixture(params=["memory", "cached", "sqlite", "postgres", "plain sqlite", "plain postgres"])
async def keys(request, tmp_path, clock) -> AsyncIterator[KeyStore]:
    if request.param in ("memory", "cached"):
        inner = MemoryKeys(clock)
        yield CachedKeys(inner, clock) if request.param == "cached" else inner
        return
    url = sqlite_url(tmp_path) if "sqlite" in request.param else request.getfixturevalue("postgres_url")
    async with empty_database(url) as engine:
        if "plain" not in request.param:
            yield SqlKeys(engine, clock)
            return
        async with open_driver(url) as driver:
            yield Together(PlainKeys(driver, clock), SqlKeys(engine, clock))


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


@pytest.fixture(params=["sqlite", "postgres"])
async def engine(request, tmp_path) -> AsyncIterator[AsyncEngine]:
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with empty_database(url) as opened:
        yield opened


async def change(engine: AsyncEngine, **values: object) -> None:
    async with transaction(engine) as connection:
        await connection.execute(update(table).values(values))


OLD = b"o" * 32


async def test_a_digest_of_an_earlier_release_is_good_and_needs_its_pepper_once(engine, clock):
    before = SqlKeys(engine, clock, peppers=[b"n" * 32, OLD])
    new = await before.create(**GRANT)
    await change(engine, digest=mac(OLD, new.secret))
    with pytest.raises(Unauthenticated):
        await SqlKeys(engine, clock, peppers=[b"x" * 32]).authenticate(new.secret)
    assert await before.authenticate(new.secret) == new.key
    assert await SqlKeys(engine, clock).authenticate(new.secret) == new.key


async def test_a_revoked_key_of_an_earlier_release_stays_worthless(engine, clock):
    keys = SqlKeys(engine, clock, peppers=[OLD])
    new = await keys.create(**GRANT)
    await change(engine, digest=mac(OLD, new.secret))
    await keys.revoke(new.key.id)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(new.secret)


async def test_two_that_show_an_old_key_at_once_are_both_let_in(engine, clock):
    stores = [SqlKeys(engine, clock, peppers=[OLD]) for _ in range(4)]
    new = await stores[0].create(**GRANT)
    await change(engine, digest=mac(OLD, new.secret))
    assert await gather(*(one.authenticate(new.secret) for one in stores)) == [new.key] * 4


@pytest.mark.parametrize(
    ("stored", "means"),
    [
        (["reader", "auditor"], {Role.READER}),
        (["auditor"], set()),
        (["Reader", "OPERATOR"], {Role.READER, Role.OPERATOR}),
        ([None, 5, ["reader"]], set()),
        ("reader", set()),
        ({"reader": True}, set()),
    ],
)
async def test_a_role_of_a_newer_release_grants_nothing_and_breaks_nothing(engine, clock, stored, means):
    keys = SqlKeys(engine, clock)
    new = await keys.create(**GRANT)
    await change(engine, roles=stored)
    assert (await keys.authenticate(new.secret)).roles == means
    assert [key.roles for key in await keys.keys()] == [means]


async def test_processes_that_start_together_agree_on_one_secret(engine, clock):
    proposed = [bytes([65 + number]) * 64 for number in range(8)]
    first = await gather(*(agreed(engine, clock, proposed=one) for one in proposed))
    assert len(set(first)) == 1
    assert first[0] in proposed
    assert await agreed(engine, clock, proposed=b"later" * 20) == first[0] == await stored(engine)


async def test_a_damaged_secret_in_sql_is_named(engine, clock):
    await agreed(engine, clock, proposed=b"s" * 64)
    async with transaction(engine) as connection:
        await connection.execute(update(secrets).values(secret=b"short"))
    assert await stored(engine) is None
    with pytest.raises(Misconfigured, match="security_secrets is damaged"):
        await agreed(engine, clock, proposed=b"s" * 64)
