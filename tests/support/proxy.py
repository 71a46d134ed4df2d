"""A real NGINX with a configuration that we ship."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from devstack import nginx
from devstack.nginx import CURRENT, Front
from tests.support.needed import missing


@contextmanager
def front(replicas: Sequence[str], **options: Any) -> Iterator[Front]:
    """See `devstack.nginx.front`; skipped where NGINX is missing, an error in CI."""
    is_current = options.get("command") == CURRENT
    if not (nginx.has_current() if is_current else nginx.program()):
        missing("no NGINX: the tests of proxies need one")
    with nginx.front(replicas, **options) as running:
        yield running
