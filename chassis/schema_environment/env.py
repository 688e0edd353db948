"""What Alembic runs for every command (its `env.py`). `chassis.migrations` gives it the connection; without one the
statements are written out instead."""

from alembic import context

from chassis.migrations import note_floor

context.configure(
    connection=context.config.attributes.get("connection"),
    dialect_name="postgresql",
    output_buffer=context.config.output_buffer,
    # An index that is made beside writers has to leave the transaction, and what was done before it stays done.
    transaction_per_migration=True,
    on_version_apply=note_floor,
)
with context.begin_transaction():
    context.run_migrations()
