"""The `ollama` package, whose import must not depend on the environment.

At import it makes a client of whatever proxy, certificate, key log and `OLLAMA_HOST` the environment names,
and fails with them. Ours are made for each endpoint and told all of that, so this one may know nothing.
"""

from __future__ import annotations

from backend.environment import left_out

with left_out():
    from ollama import (
        AsyncClient,
        ListResponse,
        ProcessResponse,
        ProgressResponse,
        ResponseError,
        ShowResponse,
    )

__all__ = [
    "AsyncClient",
    "ListResponse",
    "ProcessResponse",
    "ProgressResponse",
    "ResponseError",
    "ShowResponse",
]
