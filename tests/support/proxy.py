"""A real NGINX before the application, with the very text that docs/operations.md gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from devstack import nginx
from devstack.nginx import NAME, documented
from tests.support.needed import missing

__all__ = ["NAME", "before", "documented"]


@contextmanager
def before(app_url: str, server: str, *, shared: str | None = None) -> Iterator[int]:
    """See `devstack.nginx.before`; skipped where NGINX is missing, an error in CI."""
    if nginx.program() is None:
        missing("no NGINX: the tests of proxies need one")
    with nginx.before(app_url, server, shared=shared) as port:
        yield port
