"""The sockets of the server, taken first: an address that cannot be had is said in one line."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from backend.config import Embedding, Server, variable
from backend.core.errors import Misconfigured

_BUSY = (errno.EADDRINUSE, errno.EACCES, errno.EPERM)


def listen(server: Server | Embedding) -> list[socket.socket]:
    """A bound socket for each address of the section's host; nothing is accepted yet.

    Raises:
        Misconfigured: The host is none of this machine, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise _no_such_host(server) from exc
    with ExitStack() as opened:
        sockets = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = opened.enter_context(socket.socket(family, kind, protocol))
            if _bound(one, address, server):
                sockets.append(one)
        if not sockets:
            raise _no_such_host(server)
        opened.pop_all()
    return sockets


def _bound(one: socket.socket, address: tuple[object, ...], server: Server | Embedding) -> bool:
    """Whether this machine has the address; a name may stand for one of a protocol that is off."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        one.bind(address)
    except OSError as exc:
        if exc.errno in _BUSY:
            name = variable(_section(server), "port")
            raise Misconfigured(
                f"port {server.port} is not free ({exc.strerror}): set {name} to another"
            ) from exc
        return False
    return True


def _no_such_host(server: Server | Embedding) -> Misconfigured:
    name = variable(_section(server), "host")
    return Misconfigured(
        f"{name}={server.host[:100]} is no address of this machine: write 127.0.0.1, or 0.0.0.0 for all"
    )


def _section(server: Server | Embedding) -> str:
    return type(server).__name__.lower()
