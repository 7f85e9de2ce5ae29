"""Runs the migrations on the connection that `libs.store.engine.migrate` hands over."""

from alembic import context

from libs.store.metadata import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
