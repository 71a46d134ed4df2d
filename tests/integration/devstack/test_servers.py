"""The whole stack of `make stack`, and a Chroma server, as real processes."""

from __future__ import annotations

import httpx

from devstack import chroma, nginx, postgres, redis
from devstack.__main__ import stack
from tests.support.needed import missing


def test_the_stack_answers_through_nginx_from_redis_postgresql_and_three_instances() -> None:
    if not (redis.program() and postgres.program() and nginx.program()):
        missing("the stack needs Redis, PostgreSQL and NGINX")
    with stack(key="a-key-of-this-test") as up:
        with httpx.Client(
            base_url=up.front, headers={"Authorization": "Bearer a-key-of-this-test"}
        ) as client:
            assert client.get("/").status_code == 200
            answer = client.post("/api/v1/chat", json={"question": "When does it open?"}, timeout=60)
            assert answer.status_code == 200
            assert client.get("/api/v1/admin/pool").status_code == 403  # operators go to the API itself
            pool = client.get(f"{up.addresses['API']}/api/v1/admin/pool").json()
            assert len(pool["instances"]) == 3
            assert pool["shared"]
        with httpx.Client(base_url=up.front) as stranger:
            assert stranger.get("/api/v1/session").status_code == 401
        assert {"api.log", "redis.log", "postgres.log", "emulator-3.log"} <= {
            one.name for one in up.folder.iterdir()
        }


def test_a_chroma_server_is_empty() -> None:
    if chroma.program() is None:
        missing("chroma is not installed")
    with chroma.chroma_server() as server:
        path = "/api/v2/tenants/default_tenant/databases/default_database/collections_count"
        assert httpx.get(server.url + path).json() == 0
