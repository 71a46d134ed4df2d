"""Under which address the caller knows us, by the request's own word and that of the proxies before us.

Another site's page can set none of these headers: a browser would ask first (CORS), and that is refused. A
program may set them all, and gains nothing: it could as well call the address that it claims.

Sources: RFC 9110 section 7.2 (Host), RFC 7239 (Forwarded), RFC 6454 (origins).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

from starlette.datastructures import Headers
from starlette.requests import Request

from backend.core.networks import Address, Network, address, within

DEFAULT_PORTS = {"http": 80, "https": 443}
_DEFAULT = frozenset(DEFAULT_PORTS.values())
_AUTHORITY = re.compile(
    r"(?P<name>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>\d{1,5}))?", re.ASCII
)
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#@\s]+)", re.IGNORECASE)
_FORWARDED = re.compile(r'(?:^|[;,])\s*(?P<key>host|proto)\s*=\s*"?(?P<text>[^";,\s]+)"?', re.IGNORECASE)
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_PROXY_HEADERS = frozenset({"forwarded", "via", "x-real-ip"})


@dataclass(frozen=True, slots=True)
class Authority:
    """A host as a URL names it.

    Attributes:
        name: Lower case, without a last dot; an IPv6 address is in brackets and in its short form.
        port: None if none was written.
    """

    name: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from; its port is always known."""

    scheme: str
    name: str
    port: int

    @property
    def is_on_default_port(self) -> bool:
        """Whether browsers leave its port out."""
        return self.port == DEFAULT_PORTS[self.scheme]


def authority(text: str) -> Authority | None:
    """`host` or `host:port`; None if it is neither."""
    match = _AUTHORITY.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    name = _canonical(match["name"])
    return Authority(name, int(match["port"]) if match["port"] else None) if name else None


def origin(text: str) -> Origin | None:
    """An origin as browsers write it; None if it is of no web page, such as `null`."""
    match = _ORIGIN.fullmatch(text)
    found = authority(match["authority"]) if match else None
    if match is None or found is None:
        return None
    scheme = match["scheme"].lower()
    return Origin(scheme, found.name, DEFAULT_PORTS[scheme] if found.port is None else found.port)


def is_forwarded(headers: Headers) -> bool:
    """Whether a proxy passed this request on, and says so."""
    return any(name in _PROXY_HEADERS or name.startswith("x-forwarded-") for name in headers)


def on_loopback(request: Request) -> bool:
    """Whether the caller is on this machine and came straight to us."""
    if request.client is None or is_forwarded(request.headers):
        return False
    found = address(request.client.host)
    return found is not None and found.is_loopback


def caller(peer: str, headers: Headers, trusted: Sequence[Network]) -> Address | None:
    """The address of who calls; None if only a proxy that is not `trusted` knows it. `peer` connected to us.

    Each proxy adds to `X-Forwarded-For` whom it saw, so that is read from its end, as far as those who wrote
    it are trusted: what stands before may be anybody's invention.
    """
    found = address(peer)
    if not is_forwarded(headers):
        return found
    told = _listed(headers, "x-forwarded-for")
    if found is None or not told or not within(found, trusted):
        return None
    for text in reversed(told):
        found = address(text)
        if found is None or not within(found, trusted):
            break
    return found


def is_ours(page: Origin, headers: Headers) -> bool:
    """Whether `page` was called by the name and port under which this request came.

    The scheme is the proxies' affair, so that 80 and 443 are one port here. Where a proxy has left the port
    out of everything it says, as nginx's `$host` does, the name alone decides.
    """
    named = {(one.name, port) for one in _named(headers) for port in _ports(one, headers)}
    port = None if page.is_on_default_port else page.port
    if named & {(page.name, port), (page.name, page.port)}:
        return True
    return is_forwarded(headers) and not _tells_port(headers) and (page.name, None) in named


def schemes(headers: Headers) -> list[str]:
    """`http` or `https`, as each proxy says how it was called; those next to the caller first."""
    said = [*_listed(headers, "x-forwarded-proto"), *_forwarded(headers, "proto")]
    return [one.lower() for one in said]


def prefix(headers: Headers) -> str:
    """The path under which proxies serve us, such as `/assist`; "" if none says so, or says no path."""
    said = (one.rstrip("/") for one in _listed(headers, "x-forwarded-prefix"))
    whole = "".join(one if one.startswith("/") else f"/{one}" for one in said if one)
    return whole if len(whole) <= 256 and _PREFIX.fullmatch(whole) else ""


def _canonical(name: str) -> str:
    if not name.startswith("["):
        return name.lower().rstrip(".")
    try:
        return f"[{IPv6Address(name[1:-1]).compressed}]"
    except ValueError:
        return ""


def _named(headers: Headers) -> Iterator[Authority]:
    said = [headers.get("host", ""), *_listed(headers, "x-forwarded-host"), *_forwarded(headers, "host")]
    return (found for found in map(authority, said) if found is not None)


def _ports(one: Authority, headers: Headers) -> Iterator[int | None]:
    """The ports that go with a name; None is the scheme's own."""
    yield one.port
    told = [int(port) for port in _listed(headers, "x-forwarded-port") if re.fullmatch(r"\d{1,5}", port)]
    if one.port is None:
        yield from told
    if _DEFAULT.intersection([one.port] if one.port is not None else told):
        yield None


def _tells_port(headers: Headers) -> bool:
    return bool(_listed(headers, "x-forwarded-port")) or any(one.port is not None for one in _named(headers))


def _listed(headers: Headers, name: str) -> list[str]:
    """The values of a header that each proxy adds to."""
    return [one.strip() for line in headers.getlist(name) for one in line.split(",") if one.strip()]


def _forwarded(headers: Headers, key: str) -> list[str]:
    found = (match for line in headers.getlist("forwarded") for match in _FORWARDED.finditer(line))
    return [match["text"] for match in found if match["key"].lower() == key]
