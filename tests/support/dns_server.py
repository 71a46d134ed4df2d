"""A name server that knows one name; who it stands for may change."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import cast

_ANSWER_FLAGS, _A_RECORD, _IN = 0x8180, 1, 1


class Names(asyncio.DatagramProtocol):
    """Answers every question with the same addresses.

    Attributes:
        addresses: IPv4 addresses.
        port: Where it listens on 127.0.0.1.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = data[12 : data.index(b"\0", 12) + 5]
        head = data[:2] + struct.pack("!5H", _ANSWER_FLAGS, 1, len(self.addresses), 0, 0)
        records = [
            struct.pack("!HHHIH", 0xC00C, _A_RECORD, _IN, 1, 4) + IPv4Address(one).packed
            for one in self.addresses
        ]
        self._transport.sendto(head + question + b"".join(records), addr)


@asynccontextmanager
async def name_server(*addresses: str) -> AsyncIterator[Names]:
    """One in this loop."""
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(
        lambda: Names(addresses), local_addr=("127.0.0.1", 0)
    )
    try:
        yield names
    finally:
        transport.close()
        await asyncio.sleep(0)
