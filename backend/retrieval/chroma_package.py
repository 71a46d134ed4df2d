"""The `chromadb` package, whose import must not depend on the environment.

Many a name of the environment is a setting of Chroma: ENVIRONMENT, IS_PERSISTENT, ALLOW_RESET.
"""

from __future__ import annotations

from backend.environment import left_out

with left_out():
    import chromadb
    from chromadb.config import Settings
    from chromadb.errors import ChromaError, NotFoundError

    SETTINGS = Settings(anonymized_telemetry=False, _env_file=None)

__all__ = ["SETTINGS", "ChromaError", "NotFoundError", "chromadb"]
