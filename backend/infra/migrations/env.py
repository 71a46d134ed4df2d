"""Run by Alembic, with the connection that `migrate` (or `scripts/migration`) gives it."""

from alembic import context

from backend.infra.sql import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
