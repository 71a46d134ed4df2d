"""The chat page at `/` and its files, under a strict Content-Security-Policy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from backend.api.deps import COOKIE, ServicesDep, on_loopback
from backend.api.session import give_cookie
from backend.core.errors import NotFound

router = APIRouter(include_in_schema=False)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    media_type: str
    etag: str


def _assets() -> Mapping[str, _Asset]:
    found = {}
    for file in (files("backend") / "api" / "page").iterdir():
        media_type = _TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            body = file.read_bytes()
            found[file.name] = _Asset(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    return found


_ASSETS = _assets()


@router.get("/")
async def page(request: Request, services: ServicesDep) -> Response:
    """The page; a new browser becomes a subject where no key is asked for."""
    response = _served(request, "index.html")
    open_house = on_loopback(request) and not await services.identity.is_required()
    shown = request.cookies.get(COOKIE, "")
    if open_house and not await services.identity.is_good(shown):
        value: str | None = services.identity.visitor()
    else:
        value = services.identity.renewed(shown)
    if value:
        give_cookie(request, response, value, services.settings.auth.cookie_ttl_s)
    return response


@router.get("/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    """A file of the page."""
    if name == "index.html" or name not in _ASSETS:
        raise NotFound("no such file")
    return _served(request, name)


def _served(request: Request, name: str) -> Response:
    found = _ASSETS[name]
    headers = {"etag": found.etag, "cache-control": "no-cache", "content-security-policy": POLICY}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type=found.media_type)
