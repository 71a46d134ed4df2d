"""A Chroma server, as a real process."""

from __future__ import annotations

import httpx

from devstack import chroma
from tests.support.needed import missing


def test_a_chroma_server_is_empty() -> None:
    if chroma.program() is None:
        missing("chroma is not installed")
    with chroma.chroma_server() as server:
        path = "/api/v2/tenants/default_tenant/databases/default_database/collections_count"
        assert httpx.get(server.url + path).json() == 0
