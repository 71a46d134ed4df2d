"""The chat page at `/` and its files, under a strict Content-Security-Policy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from backend.api.deps import ServicesDep, shown_cookie
from backend.api.forwarded import on_loopback
from backend.api.guard_address import prefix_of
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


_FOR_GOOD = "public, max-age=31536000, immutable"


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
            found[file.name] = _asset(file.read_bytes(), media_type)
    return found


def _asset(body: bytes, media_type: str) -> _Asset:
    return _Asset(body, media_type, f'"{_digest(body)}"')


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


_ASSETS = _assets()
EDITION = _digest("".join(f"{name} {_ASSETS[name].etag}" for name in sorted(_ASSETS)).encode())
"""Of all files together: modules name each other from where they are, so they lie in one folder."""


@router.get("/")
async def page(request: Request, services: ServicesDep) -> Response:
    """The page; a new browser becomes a subject where no key is asked for."""
    response = _served(request, _page_below(prefix_of(request)), "no-cache")
    open_house = on_loopback(request) and not await services.identity.is_required()
    shown = shown_cookie(request)
    if open_house and not await services.identity.is_good(shown):
        value: str | None = services.identity.visitor()
    else:
        value = services.identity.renewed(shown)
    if value:
        give_cookie(request, response, value, services.settings.auth.cookie_ttl_s)
    return response


@router.get("/assets/{edition}/{name}")
async def asset(request: Request, edition: str, name: str) -> Response:
    """A file of the page: kept for good, unless another replica's page of another edition asks for it."""
    if name == "index.html" or name not in _ASSETS:
        raise NotFound("no such file")
    return _served(request, _ASSETS[name], _FOR_GOOD if edition == EDITION else "no-cache")


def _page_below(prefix: str) -> _Asset:
    """The page; it names its files from its own address on, or from the top if that may lack a last slash."""
    page = _ASSETS["index.html"]
    folder = f"{prefix}/assets/{EDITION}/" if prefix else f"assets/{EDITION}/"
    return _asset(page.body.replace(b'="assets/', f'="{folder}'.encode()), page.media_type)


def _served(request: Request, found: _Asset, cached: str) -> Response:
    headers = {"etag": found.etag, "cache-control": cached, "content-security-policy": POLICY}
    if _is_known(found.etag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type=found.media_type)


def _is_known(etag: str, shown: str) -> bool:
    """Whether the caller has this already. A proxy that compresses calls our tags weak.

    Source: RFC 9110 section 13.1.2.
    """
    return etag in {one.strip().removeprefix("W/") for one in shown.split(",")}
