"""Which names in `Host` are served: the guard against DNS rebinding, which also meets aliases and tunnels."""

from __future__ import annotations

import ipaddress
import socket

_LOCAL_ENDINGS = (".localhost", ".local", ".internal")


def is_served(host: str, bound: str) -> bool:
    """Whether a server bound to `bound` answers a request whose `Host` is `host`.

    One that is not bound to loopback answers everybody. The others answer loopback, private and unspecified
    addresses, this machine's own name, `localhost`, and names that only a local network gives out.
    """
    if not _is_loopback(bound):
        return True
    name = _without_port(host).lower()
    if (address := _address(name)) is not None:
        return address.is_loopback or address.is_private or address.is_unspecified
    return name in ("", "localhost", socket.gethostname().lower()) or name.endswith(_LOCAL_ENDINGS)


def bound_address(setting: str) -> str:
    """The host of an `OLLAMA_HOST`: scheme, port and path are left out."""
    return _without_port(setting.split("://", 1)[-1].split("/", 1)[0]).strip("[]")


def _without_port(host: str) -> str:
    """As Go splits it: a bare IPv6 address in brackets is no address to it."""
    if host.startswith("["):
        inner, _, rest = host[1:].partition("]")
        return inner if rest.startswith(":") else host
    name, _, port = host.rpartition(":")
    return name if name and ":" not in name and not port.strip("0123456789") else host


def _is_loopback(bound: str) -> bool:
    address = _address(bound)
    return address.is_loopback if address is not None else bound in ("", "localhost")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
