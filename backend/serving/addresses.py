"""Where what listens can be reached."""

from __future__ import annotations

import socket
from typing import Final

_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  to be reached, not to listen


def url_of(listening: socket.socket) -> str:
    """The address on this machine."""
    host, port = listening.getsockname()[:2]
    return f"http://{_ANYWHERE.get(host, f'[{host}]' if ':' in host else host)}:{port}"
