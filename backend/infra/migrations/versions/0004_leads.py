"""what a passage inside a table needs from above it; longer media types."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("passages", sa.Column("lead", sa.Text(), nullable=False, server_default=""))
    _media_type(sa.String(length=128))


def downgrade() -> None:
    """Take back."""
    _media_type(sa.String(length=64))
    with op.batch_alter_table("passages", schema=None) as batch_op:
        batch_op.drop_column("lead")


def _media_type(type_: sa.String) -> None:
    """SQLite asks no length; and to change a column it would make the table anew, its rows' passages lost."""
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("documents", "media_type", type_=type_, existing_nullable=False)
