"""what a document leaves out, says of itself, and where it lies."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_OF_DOCUMENTS = {"origin": "", "notes": "[]", "date": "", "description": ""}


def upgrade() -> None:
    """Apply."""
    for name, empty in _OF_DOCUMENTS.items():
        kind = sa.JSON() if name == "notes" else sa.Text()
        op.add_column("documents", sa.Column(name, kind, nullable=False, server_default=empty))
    op.add_column("ingestion_items", sa.Column("origin", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("ingestion_items", schema=None) as batch_op:
        batch_op.drop_column("origin")
    with op.batch_alter_table("documents", schema=None) as batch_op:
        for name in _OF_DOCUMENTS:
            batch_op.drop_column(name)
