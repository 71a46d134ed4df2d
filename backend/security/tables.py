"""The table of API keys."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, String, Table

from backend.infra.sql import metadata

keys = Table(
    "security_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("corpora", JSON, nullable=False),
    Column("mac", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("revoked", Float),
)
