"""passages; who is alive."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "passages",
        sa.Column("document", sa.String(length=64), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("headings", sa.JSON(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["document"], ["documents.id"], name=op.f("fk_passages_document_documents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("document", "ordinal", name=op.f("pk_passages")),
    )
    op.create_table(
        "history_processes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("expires", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history_processes")),
    )
    op.add_column(
        "history_turns", sa.Column("process", sa.String(length=32), nullable=False, server_default="")
    )


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("history_turns", schema=None) as batch_op:
        batch_op.drop_column("process")
    op.drop_table("history_processes")
    op.drop_table("passages")
