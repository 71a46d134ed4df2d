"""Which HTTP status an error has: one table, the nearest ancestor wins."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from backend.core import errors

STATUS: Mapping[type, int] = MappingProxyType(
    {
        errors.LibriError: 500,
        errors.InvalidRequest: 400,
        errors.TooLarge: 413,
        errors.UnsupportedDocument: 415,
        errors.UnreadableDocument: 422,
        errors.Unauthenticated: 401,
        errors.Forbidden: 403,
        errors.NotFound: 404,
        errors.Conflict: 409,
        errors.QuotaExceeded: 429,
        errors.DeadlineExceeded: 504,
        errors.Unavailable: 503,
        errors.StorageFull: 507,
        errors.EngineError: 502,
        errors.EngineTimeout: 504,
        errors.ContextOverflow: 422,
    }
)


def status_of(exc: errors.LibriError) -> int:
    """The HTTP status of an error of ours."""
    return next(STATUS[kind] for kind in type(exc).__mro__ if kind in STATUS)
