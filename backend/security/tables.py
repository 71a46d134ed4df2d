"""The tables of API keys, and of the secret that the processes on one database share."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, LargeBinary, String, Table

from backend.infra.sql import metadata

keys = Table(
    "security_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("corpora", JSON, nullable=False),
    Column("mac", String(64), key="digest", nullable=False),
    Column("created", Float, nullable=False),
    Column("revoked", Float),
)

secrets = Table(
    "security_secrets",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("created", Float, nullable=False),
)
