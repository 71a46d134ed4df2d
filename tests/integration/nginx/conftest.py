"""A replica's double behind NGINX, started once for a file of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from devstack.nginx import Front
from tests.support.proxy import front
from tests.support.upstream import Upstream, upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replica() -> AsyncIterator[Upstream]:
    async with upstream() as it:
        yield it


@pytest.fixture(scope="module")
def door(replica: Upstream) -> Iterator[Front]:
    with front([replica.url]) as it:
        yield it
