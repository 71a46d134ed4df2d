"""Replicas found by DNS on a current NGINX: one more, or one less, needs no edit."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from devstack.child import free_port
from devstack.nginx import CURRENT, SHIPPED
from tests.support.dns_server import name_server
from tests.support.pipelined import replies, request
from tests.support.proxy import front
from tests.support.upstream import upstream

ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]


async def test_replicas_come_and_go_with_the_name():
    port = free_port()
    async with AsyncExitStack() as opened:
        replicas = {
            address: await opened.enter_async_context(upstream(address, port)) for address in ADDRESSES
        }
        names = await opened.enter_async_context(name_server(*ADDRESSES[:1]))
        changes = {"127.0.0.11 valid=5s": f"127.0.0.1:{names.port} valid=1s", "api:8000": f"api:{port}"}
        door = opened.enter_context(front([], conf="dns.conf", command=CURRENT, changes=changes))

        async def asked_are(expected: set[str]) -> None:
            """Wait until they are the ones who are asked."""
            async with asyncio.timeout(15):
                for turn in range(1000):
                    before = {address: len(one.seen) for address, one in replicas.items()}
                    sent = [request(f"/{turn}", {"Authorization": f"Bearer {turn}-{n}"}) for n in range(6)]
                    answers = await replies(door.port, sent)
                    seen = {address for address, one in replicas.items() if len(one.seen) > before[address]}
                    if seen == expected and {answer.status for answer in answers} == {200}:
                        return
                    await asyncio.sleep(0.1)

        for count in (1, 3, 2):
            names.addresses = ADDRESSES[:count]
            await asked_are(set(ADDRESSES[:count]))


@pytest.mark.parametrize("conf", ["dns.conf", "dns-tls.conf"])
def test_the_name_is_that_of_the_service_and_the_server_that_of_docker(conf: str):
    text = (SHIPPED / "libriassist" / "replicas-dns.conf").read_text()
    assert "resolver 127.0.0.11 " in text
    assert "server api:8000 resolve " in text
    assert "include libriassist/replicas-dns.conf;" in (SHIPPED / conf).read_text()
