"""Tables of conversations and their turns."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from backend.infra.sql import metadata

conversations = Table(
    "history_conversations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("title", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Index("ix_history_conversations_owner", "tenant", "subject", "updated"),
)

turns = Table(
    "history_turns",
    metadata,
    # The order of turns: clocks may tie or go back, this does not.
    Column("place", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run", String(64), nullable=False, unique=True),
    Column(
        "conversation",
        ForeignKey("history_conversations.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("sources", JSON, nullable=False),
    Column("citations", JSON, nullable=False),
    Column("degraded", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("process", String(32), nullable=False, server_default=""),  # that produces it; as in `processes`
    Column("rating", String(8)),
    Column("reason", Text),
    Column("rated", Float),
    Index("ix_history_turns_state", "state", "created"),
)

# Signs of life: a turn that runs in a process whose sign has lapsed is given up.
processes = Table(
    "history_processes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("expires", Float(53), nullable=False),
)
