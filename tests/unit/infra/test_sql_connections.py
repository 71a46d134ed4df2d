"""How many connections to PostgreSQL a process has is the operator's."""

from __future__ import annotations

from sqlalchemy.pool import QueuePool

from backend.infra.sql import Connections, open_engine


def test_the_pool_is_as_large_as_it_is_set() -> None:
    engine = open_engine("postgresql://u@127.0.0.1:1/x", Connections(kept=3, more=4, wait_s=1.5))
    pool = engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    assert (pool.size(), pool._max_overflow, pool.timeout()) == (3, 4, 1.5)
