"""Addresses of servers: whether they can be asked, and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

MASK = "**********"
_CREDENTIALS = re.compile(r"(?s)(?<=://)(?:(?!,\s*\w+://).)*(?=@)")
"""Up to the last `@` of each address: what is special may stand in a password as it is."""
_BETWEEN = re.compile(r",(?=\s*\w+://)")
_PASSWORDS = re.compile(r"(?i)((?:password|passwd|pwd|secret|token|key)=)[^&]+")
_BARE = re.compile(r"(?s)^(?!\w+://).*@")
_DOTTED = re.compile(r"[\d.]+")
"""Names made of digits and dots are taken for IPv4 addresses by every HTTP client."""
_HOST = re.compile(r"(?!-)[^\s,/?#\\@\[\]<>^`{|}\"%]{1,253}")


def several(urls: str) -> list[str]:
    """The addresses that are joined by commas; a comma within one stays."""
    return [url.strip() for url in _BETWEEN.split(urls)]


def masked(url: str) -> str:
    """`url` as anybody may see it: what would let one in is hidden."""
    return _PASSWORDS.sub(rf"\1{MASK}", _BARE.sub(f"{MASK}@", _CREDENTIALS.sub(MASK, url)))


def without_credentials(url: str) -> str:
    """`url` without user and password, and without what comes after its path."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def credentials(url: str) -> tuple[str, str] | None:
    """User and password of `url`, decoded; None if it has neither."""
    parts = urlsplit(url)
    if not parts.username and not parts.password:
        return None
    return unquote(parts.username or ""), unquote(parts.password or "")


def complaint(url: str, schemes: Collection[str] = ("http", "https")) -> str:
    """What is wrong with the address of a server, and what to write; "" if it can be asked."""
    first = next(iter(schemes))
    if "://" not in url:
        bare = f"{first}://{url}"
        return (
            f"has no scheme: write {first}://HOST:PORT"
            if _wrong(bare)
            else f"has no scheme: write {masked(bare)}"
        )
    if _wrong(url):
        escape = ", with %XX for what is special in user and password" if "@" in url else ""
        return f"has no valid host and port: write {first}://HOST:PORT{escape}"
    parts = urlsplit(url)
    if parts.scheme not in schemes:
        return f"has another scheme than {' or '.join(schemes)}: write {first}://HOST:PORT"
    return _complaint_of_rest(parts)


def _wrong(url: str) -> bool:
    """Whether host or port cannot be read, or cannot be connected to."""
    try:
        parts = urlsplit(url)
        if "@" in parts.path:  # a slash in a password ends the host
            return True
        host, port = parts.hostname or "", parts.port
        if _DOTTED.fullmatch(host):
            ip_address(host)
        if not host.isascii():
            host.encode("idna")
    except ValueError:
        return True
    named = ":" in host or (_HOST.fullmatch(host) and ".." not in host and not host.startswith("."))
    return port == 0 or not named


def _complaint_of_rest(parts: SplitResult) -> str:
    if parts.query or parts.fragment:
        return "has a query or a fragment: end it with its path"
    if not (parts.path.isascii() and parts.path.isprintable()) or " " in parts.path:
        return "has a path with characters that are not allowed: write them as %XX"
    user = f"{parts.username or ''}{parts.password or ''}"
    if not unquote(user).isprintable():
        return "has a user or a password with control characters"
    return ""
