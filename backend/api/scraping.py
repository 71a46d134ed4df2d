"""Who may read `/metrics`: operators, and what the settings name for it."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Request

from backend.api.deps import ServicesDep, needs, principal
from backend.api.forwarded import caller
from backend.config import Settings
from backend.core.networks import within
from backend.core.types import Role

_operator = needs(Role.OPERATOR)


async def scraper(request: Request, services: ServicesDep) -> None:
    """Let in a scraper by its token or its address, and else operators only.

    Raises:
        Unauthenticated, Forbidden, StorageUnavailable
    """
    if not (_shows_token(request, services.settings) or _is_near(request, services.settings)):
        await _operator(await principal(request, services))


ScraperDep = Annotated[None, Depends(scraper)]


def _shows_token(request: Request, settings: Settings) -> bool:
    token = settings.auth.metrics_token.get_secret_value()
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    agrees = hmac.compare_digest(shown.strip().encode("latin-1"), token.encode())
    return bool(token) and scheme.lower() == "bearer" and agrees


def _is_near(request: Request, settings: Settings) -> bool:
    if request.client is None:
        return False
    found = caller(request.client.host, request.headers, settings.server.trusted_proxies)
    return found is not None and within(found, settings.auth.metrics_networks)
