"""A browser's session."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from backend.api.deps import COOKIE, PrincipalDep, ServicesDep
from backend.api.forwarded import schemes
from backend.api.guard_address import prefix_of
from backend.api.schemas import SignIn
from backend.api.strict import JsonBody
from backend.core.types import Role

router = APIRouter(prefix="/api/v1/session", tags=["session"])


@router.get("")
async def session(services: ServicesDep, who: PrincipalDep) -> dict[str, Any]:
    """Who asks, and whether a key is needed for that."""
    return {
        "tenant": who.tenant,
        "subject": who.subject,
        "roles": sorted(Role(role).value for role in who.roles),
        "corpora": sorted(who.corpora),
        "sign_in": await services.identity.is_required(),
    }


@router.post("", status_code=204)
async def sign_in(
    request: Request, response: Response, services: ServicesDep, body: JsonBody[SignIn]
) -> None:
    """Exchange a key for a cookie."""
    value = await services.identity.sign_in(body.key)
    give_cookie(request, response, value, services.settings.auth.cookie_ttl_s)


@router.delete("", status_code=204)
async def sign_out(request: Request, response: Response) -> None:
    """Forget the cookie."""
    response.delete_cookie(COOKIE, path=prefix_of(request) or "/", httponly=True, samesite="strict")


def give_cookie(request: Request, response: Response, value: str, ttl_s: int) -> None:
    """Set the session cookie: out of scripts' reach, never sent from another site."""
    secure = "https" in (request.url.scheme, *_outer_schemes(request))
    path = prefix_of(request) or "/"
    response.set_cookie(
        COOKIE, value, max_age=ttl_s, path=path, httponly=True, samesite="strict", secure=secure
    )


def _outer_schemes(request: Request) -> list[str]:
    """How the page came, by its own word and the proxies': a lie only keeps the liar off plain HTTP."""
    return [request.headers.get("origin", "").partition(":")[0].lower(), *schemes(request.headers)]
