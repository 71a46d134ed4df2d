"""What every request passes before the application sees it. Plain ASGI, so that streams stay streams.

From the outside in:

    Addressing  the path below which a proxy serves us, and slashes too many: all below know our own path
    Shield      request id, security headers, one answer for what nobody expected
    HostCheck   only our own names are served (DNS rebinding)
    OriginCheck other sites' pages are refused, or get CORS headers
    BodyCheck   headers and body: size, type, time
    Head        HEAD is answered as GET is, without the body
"""

from __future__ import annotations

from fastapi import FastAPI

from backend.api.guard_address import Addressing, Head
from backend.api.guard_body import BodyCheck
from backend.api.guard_origin import HostCheck, OriginCheck
from backend.api.guard_shield import Shield
from backend.config import Server

UPLOAD_PATHS = frozenset({"/api/v1/documents"})
# What a multipart body may hold besides the files.
_UPLOAD_MARGIN_BYTES = 64 * 1024


def guarded(app: FastAPI, server: Server) -> None:
    """Put the guard around `app`; what is added last is outermost."""
    app.router.redirect_slashes = False  # Addressing takes either spelling; a redirect would need our address
    app.add_middleware(Head)
    app.add_middleware(
        BodyCheck,
        max_bytes=server.max_body_bytes,
        max_upload_bytes=server.max_upload_bytes + _UPLOAD_MARGIN_BYTES,
        upload_paths=UPLOAD_PATHS,
        timeout_s=server.body_timeout_s,
    )
    app.add_middleware(OriginCheck, allowed=server.allowed_origins, hosts=server.allowed_hosts)
    app.add_middleware(HostCheck, allowed=server.allowed_hosts)
    app.add_middleware(Shield)
    app.add_middleware(Addressing, root_path=server.root_path)
