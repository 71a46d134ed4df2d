"""Database addresses as people and hosting services write them, as what our two drivers take."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode
from uuid import uuid4

from backend.core.errors import Misconfigured

log = logging.getLogger(__name__)

_DRIVERS = ("", "asyncpg", "psycopg2", "psycopg", "psycopg2cffi", "pg8000", "psycopg_async")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_WORDS = {"true": "require", "1": "require", "on": "require", "no-verify": "require"} | dict.fromkeys(
    ("false", "0", "off"), "disable"
)
_AS_IT_IS = """
    host port dbname user password passfile sslmode sslcert sslkey sslrootcert sslnegotiation sslcrl
    sslpassword ssl_min_protocol_version ssl_max_protocol_version target_session_attrs krbsrvname gsslib
    service application_name options search_path statement_timeout lock_timeout timezone
    idle_in_transaction_session_timeout
"""
"""Parameters that asyncpg reads as libpq does, or hands to the server."""
_RENAMED = {
    "database": "dbname",
    "fallback_application_name": "application_name",
    "schema": "search_path",
    "ssl": "sslmode",
    "servername": "host",
}
_NUMBERS: Mapping[str, tuple[str, Callable[[str], float]]] = MappingProxyType(
    {
        "connect_timeout": ("timeout", lambda text: float(text) or 60.0),
        "timeout": ("timeout", float),
        "command_timeout": ("command_timeout", float),
        "statement_cache_size": ("statement_cache_size", int),
        "prepared_statement_cache_size": ("prepared_statement_cache_size", int),
    }
)
"""Parameters that are arguments of the driver's `connect`."""
_DROPPED = """
    channel_binding gssencmode gssdelegation keepalives keepalives_idle keepalives_interval keepalives_count
    tcp_user_timeout sslcompression sslsni sslcertmode requiressl require_auth load_balance_hosts
    client_encoding connection_limit pool_timeout pool_size max_overflow pool_recycle socket_timeout sslaccept
    uselibpqcompat supa min_protocol_version max_protocol_version scram_client_key scram_server_key
"""
"""Parameters of other drivers: one can connect without them."""
_WITHOUT_LOSS = {
    ("channel_binding", "prefer"), ("channel_binding", "disable"), ("gssencmode", "prefer"),
    ("gssencmode", "disable"), ("client_encoding", "utf8"), ("client_encoding", "utf-8"), ("sslsni", "1"),
    ("sslcompression", "0"), ("keepalives", "1"), ("requiressl", "0"), ("load_balance_hosts", "disable"),
}  # fmt: skip
_SQLITE = ("sqlite", "sqlite3", "sqlite+aiosqlite", "sqlite+pysqlite")
_SQLITE_PARAMETERS = frozenset({"timeout", "check_same_thread", "cached_statements"})


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is.

    Attributes:
        url: For SQLAlchemy.
        connect: Further arguments of its driver.
        left_out: Parameters that cannot be honoured, as they were written.
    """

    url: str
    connect: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    left_out: tuple[str, ...] = ()


def understood(given: str) -> Database:
    """As `parse`; what cannot be honoured is logged."""
    found = parse(given)
    for parameter in found.left_out:
        log.warning("the database is asked without %s, which its driver does not know", parameter)
    return found


def parse(given: str) -> Database:
    """The database that `given` means.

    Raises:
        Misconfigured: It means none of ours. The message goes on from the setting's name; it holds no secret.
    """
    scheme, _, rest = given.partition("://")
    if scheme.lower() in _SQLITE:
        return _sqlite(rest)
    kind, _, driver = scheme.lower().partition("+")
    if not rest or kind not in ("postgresql", "postgres", "postgis", "pgsql"):
        raise Misconfigured(
            "is neither: write postgresql://USER:PASSWORD@HOST/NAME or sqlite:////PATH/FILE.db"
        )
    if driver not in _DRIVERS:
        raise Misconfigured("names a driver that is not used here: write postgresql://")
    if find_spec("asyncpg") is None:
        raise Misconfigured("needs the driver of PostgreSQL: install libriassist[postgres]")
    return _postgresql(rest)


def _sqlite(rest: str) -> Database:
    path, _, query = rest.partition("?")
    parameters = dict(parse_qsl(query))
    if path in ("", "/", "/:memory:") or parameters.get("mode") == "memory":
        raise Misconfigured("keeps nothing: write sqlite:////PATH/FILE.db, or leave it empty")
    if not path.startswith("/"):
        raise Misconfigured(f"has too few slashes: write sqlite:///{path} or sqlite:////{path}")
    if unknown := sorted(parameters.keys() - _SQLITE_PARAMETERS):
        raise Misconfigured(f"has parameters that cannot be honoured: leave out {', '.join(unknown)[:200]}")
    return Database(f"sqlite+aiosqlite://{rest}")


def _postgresql(rest: str) -> Database:
    place, _, query = rest.partition("?")
    netloc, _, name = place.partition("/")
    if "#" in place or "@" in name or netloc.count("@") > 1:
        raise Misconfigured("has special characters in user or password: write them as %XX")
    parameters: dict[str, str] = {}
    for parameter, value in parse_qsl(query):
        parameters[_RENAMED.get(parameter, parameter)] = value
    connect, left_out = _arguments(parameters)
    _check_ports(netloc, parameters)
    dsn = f"postgresql://{place}" + (f"?{urlencode(parameters, quote_via=quote)}" if parameters else "")
    return Database("postgresql+asyncpg://", {"dsn": dsn, **connect}, left_out)


def _arguments(parameters: dict[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The driver's arguments and what is left out, both taken out of `parameters`."""
    connect: dict[str, Any] = {}
    if parameters.pop("pgbouncer", "") == "true":
        connect |= _without_prepared_statements()
    for name in parameters.keys() & _NUMBERS.keys():
        target, read = _NUMBERS[name]
        try:
            connect[target] = read(parameters.pop(name))
        except ValueError:
            raise Misconfigured(f"has no number for {name}") from None
    left_out = sorted(f"{name}={parameters.pop(name)}" for name in parameters.keys() & set(_DROPPED.split()))
    if unknown := sorted(parameters.keys() - set(_AS_IT_IS.split())):
        raise Misconfigured(f"has parameters that are not known: leave out {', '.join(unknown)[:200]}")
    connect |= _tls(parameters)
    lost = (one for one in left_out if tuple(one.lower().split("=", 1)) not in _WITHOUT_LOSS)
    return connect, tuple(lost)


def _tls(parameters: dict[str, str]) -> dict[str, Any]:
    mode = parameters.get("sslmode")
    if mode is not None:
        mode = parameters["sslmode"] = _SSL_WORDS.get(mode.lower(), mode.lower())
        if mode not in _SSL_MODES:
            raise Misconfigured(f"has an sslmode that is none of {', '.join(_SSL_MODES)}")
    if parameters.get("sslrootcert") != "system":
        return {}
    del parameters["sslrootcert"]
    parameters.pop("sslmode", None)
    return {"ssl": ssl.create_default_context()}  # the machine's own authorities mean verify-full


def _without_prepared_statements() -> dict[str, Any]:
    """A pooler that hands each transaction to another server knows no statement of the one before."""
    names = partial(lambda: f"__asyncpg_{uuid4()}__")
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": names,
    }


def _check_ports(netloc: str, parameters: Mapping[str, str]) -> None:
    hosts = netloc.rpartition("@")[2].split(",")
    ports = [host.rpartition(":")[2] for host in hosts if ":" in host and not host.endswith("]")]
    ports += filter(None, parameters.get("port", "").split(","))
    if not all(port.isdecimal() and 0 < int(port) < 65536 for port in map(unquote, ports) if port):
        raise Misconfigured("has a port that is no number between 1 and 65535")
