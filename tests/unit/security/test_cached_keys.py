import pytest

from backend.core.errors import StorageUnavailable, Unauthenticated
from backend.core.types import Role
from backend.security.cached import CachedKeys
from tests.support.manual_clock import ManualClock
from tests.support.memory_keys import MemoryKeys

GRANT = {"name": "k", "tenant": "t", "roles": frozenset({Role.READER}), "corpora": frozenset({"*"})}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def inner(clock):
    return MemoryKeys(clock)


@pytest.fixture
def keys(inner, clock):
    return CachedKeys(inner, clock, fresh_s=5, stale_s=600, size=2)


async def test_a_good_key_is_not_looked_up_twice_in_a_moment(keys, inner):
    secret = (await keys.create(**GRANT)).secret
    await keys.authenticate(secret)
    asked = inner.calls
    await keys.authenticate(secret)
    assert inner.calls == asked


async def test_a_key_revoked_elsewhere_stops_working_soon(keys, inner, clock):
    new = await keys.create(**GRANT)
    await keys.authenticate(new.secret)
    await inner.revoke(new.key.id)
    clock.advance(5)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(new.secret)


async def test_a_key_seen_lately_works_while_the_database_is_down(keys, inner, clock):
    new, unseen = await keys.create(**GRANT), await keys.create(**GRANT)
    await keys.authenticate(new.secret)
    inner.is_down = True
    clock.advance(500)
    assert await keys.authenticate(new.secret) == new.key
    with pytest.raises(StorageUnavailable):
        await keys.authenticate(unseen.secret)
    clock.advance(101)
    with pytest.raises(StorageUnavailable):
        await keys.authenticate(new.secret)


async def test_no_more_keys_are_remembered_than_allowed(keys, inner):
    secrets = [(await keys.create(**GRANT)).secret for _ in range(3)]
    for secret in secrets:
        await keys.authenticate(secret)
    inner.is_down = True
    with pytest.raises(StorageUnavailable):
        await keys.authenticate(secrets[0])
    await keys.authenticate(secrets[2])
