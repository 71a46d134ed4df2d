"""What every route needs: the services, and who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.requests import cookie_parser

from backend.api.forwarded import on_loopback
from backend.core.errors import Forbidden, Unauthenticated
from backend.core.types import ANY_CORPUS, Principal, Role
from backend.services import Services

COOKIE = "libri_session"


async def services(request: Request) -> Services:
    """The process's services, opened by the application's lifespan."""
    # FastAPI sends a dependency that is no coroutine to a thread and back: half a millisecond a request.
    return cast(Services, request.state.services)


ServicesDep = Annotated[Services, Depends(services)]


async def principal(request: Request, services: ServicesDep) -> Principal:
    """Who asks: by bearer key, else by cookie, else anyone on loopback while no key exists.

    Raises:
        Unauthenticated, StorageUnavailable
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("use Authorization: Bearer <key>")
        return await services.identity.of_key(token.strip())
    open_house = not await services.identity.is_required()
    if open_house and not on_loopback(request):
        raise Unauthenticated("without a key only this machine is served")
    if cookie := shown_cookie(request):
        try:
            return await services.identity.of_cookie(cookie)
        except Unauthenticated:
            if not open_house:
                raise
    if not open_house:
        raise Unauthenticated("a key is required")
    return Principal("local", "local", frozenset(Role), frozenset({ANY_CORPUS}))


def shown_cookie(request: Request) -> str:
    """The session cookie; "" without one.

    A browser that knows two assistants on one host, one of them under a prefix, sends both cookies; the first
    has the longest path (RFC 6265, section 5.4), so it is ours.
    """
    pairs = (one for line in request.headers.getlist("cookie") for one in line.split(";"))
    return next((found[COOKIE] for one in pairs if COOKIE in (found := cookie_parser(one))), "")


PrincipalDep = Annotated[Principal, Depends(principal)]


def needs(role: Role) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency: the principal, if it has `role`.

    Raises:
        Forbidden: It has not.
    """

    async def check(who: PrincipalDep) -> Principal:
        if role not in who.roles:
            raise Forbidden(f"this needs the role {role.value}")
        return who

    return check


ReaderDep = Annotated[Principal, Depends(needs(Role.READER))]
WriterDep = Annotated[Principal, Depends(needs(Role.WRITER))]
OperatorDep = Annotated[Principal, Depends(needs(Role.OPERATOR))]
