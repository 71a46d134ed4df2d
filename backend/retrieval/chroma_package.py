"""The `chromadb` package, whose import must neither depend on the environment nor cost what is not used.

Many a name of the environment is a setting of Chroma: ENVIRONMENT, IS_PERSISTENT, ALLOW_RESET. And at import
it compares each of its methods with the one that it overrides, by reading its own source, and loads gRPC to
send traces that nobody here asks for: together a quarter of its 0.75 s.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from backend.environment import left_out

_TRACES = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"


@contextmanager
def _in_place_of(*modules: ModuleType) -> Iterator[None]:
    """While inside, who imports one of these names has these; what was imported before stays."""
    put = {module.__name__: module for module in modules if module.__name__ not in sys.modules}
    sys.modules.update(put)
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]


def _unchecked() -> ModuleType:
    """The names of `overrides` that Chroma uses, without its checks."""

    def override(method: Callable[..., Any]) -> Callable[..., Any]:
        return method

    module = ModuleType("overrides")
    module.__dict__.update(override=override, overrides=override, EnforceOverrides=object)
    return module


def _untraced() -> ModuleType:
    """The exporter of traces; it would be made only for an address that no setting of ours can give."""
    module = ModuleType(_TRACES)
    module.__dict__["OTLPSpanExporter"] = None
    return module


with left_out(), _in_place_of(_unchecked(), _untraced()):
    import chromadb
    from chromadb.config import Settings
    from chromadb.errors import ChromaError, NotFoundError

    SETTINGS = Settings(anonymized_telemetry=False, _env_file=None)

__all__ = ["SETTINGS", "ChromaError", "NotFoundError", "chromadb"]
