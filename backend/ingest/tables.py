"""SQL tables of the write path."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from backend.infra.sql import metadata

# `stamp` is drawn anew whenever somebody counts on the row: a sweep never removes what was just asked for.
blobs = Table(
    "blobs",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("stamp", String(32), nullable=False),
    Column("data", LargeBinary, nullable=False),
)

ingestions = Table(
    "ingestions",
    metadata,
    Column("number", Integer, primary_key=True),  # the order of sending; clocks of replicas differ
    Column("id", String(64), nullable=False, unique=True),
    Column("tenant", String(128), nullable=False),
    Column("corpus", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("force", Boolean, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("updated", Float(53), nullable=False),
    Column("open_until", Float(53), nullable=False),
    Column("not_before", Float(53), nullable=False),
    Index("ix_ingestions_state", "state", "tenant", "corpus"),
)

ingestion_items = Table(
    "ingestion_items",
    metadata,
    Column("ingestion", ForeignKey("ingestions.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("corpus", String(128), nullable=False),
    Column("name", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("document", String(64), nullable=False),
    Column("passages", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("ix_ingestion_items_state", "state", "tenant", "corpus"),
)

# Who may write to a corpus's indexes now.
corpus_leases = Table(
    "corpus_leases",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("corpus", String(128), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("expires", Float(53), nullable=False),
)
