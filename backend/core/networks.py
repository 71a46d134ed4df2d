"""Addresses and networks of IP, where an IPv4 address in IPv6's clothes is what it means."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def address(text: str) -> Address | None:
    """An address, with or without brackets and port; None if it is none."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def network(text: str) -> Network:
    """A network, or the one address of it that is written.

    Raises:
        ValueError: It is neither.
    """
    found = ip_network(text.strip().removeprefix("[").removesuffix("]"), strict=False)
    if isinstance(found, IPv6Network) and found.subnet_of(_MAPPED):
        mapped = found.network_address.ipv4_mapped
        return IPv4Network((str(mapped), found.prefixlen - _MAPPED.prefixlen))
    return found


def within(one: Address, networks: Iterable[Network]) -> bool:
    """Whether any of these networks holds the address."""
    return any(one in network for network in networks)
