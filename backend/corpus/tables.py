"""SQL tables of the catalogue."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from backend.infra.sql import metadata

# The order of names must not depend on the database's locale: `documents()` pages by it.
_Name = String(255).with_variant(String(255, collation="C"), "postgresql")

# The longest of those that we read has 73 characters; SQLite counts none.
_MediaType = String(64).with_variant(String(128), "postgresql")

corpora = Table(
    "corpora",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("version", String(32), nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("corpus", String(128), nullable=False),
    Column("name", _Name, nullable=False),
    Column("title", Text, nullable=False),
    Column("media_type", _MediaType, nullable=False),
    Column("language", String(8), nullable=False),
    Column("revision", String(64), nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("made_by", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("passages", Integer, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("updated", Float(53), nullable=False),
    Column("origin", Text, nullable=False),
    Column("notes", JSON, nullable=False),
    Column("date", Text, nullable=False),
    Column("description", Text, nullable=False),
    UniqueConstraint("tenant", "corpus", "name"),
    Index("ix_documents_content", "tenant", "content_sha256"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("document", ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("text", Text, nullable=False),
)

# What both indexes are made from: the passages of live revisions, changed in the transaction that moves the
# pointer. Title, name and language are the document's. `sha256` is of what is embedded and indexed.
passages = Table(
    "passages",
    metadata,
    Column("document", ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("revision", String(64), nullable=False),
    Column("headings", JSON, nullable=False),
    Column("lead", Text, nullable=False, server_default=""),
    Column("text", Text, nullable=False),
    Column("page", Integer),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
)

# Revisions that are not live and may have passages in the indexes: being written, abandoned, or replaced.
leftovers = Table(
    "leftovers",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("corpus", String(128), primary_key=True),
    Column("revision", String(64), primary_key=True),
    Column("writer", String(64), nullable=False),
    Column("since", Float(53), nullable=False),
)
