"""What noted the changes before Alembic did. A process of 0.1.0 that starts looks there, and would begin anew."""

from alembic import op

revision = "c0001"
down_revision = None
last_reader = "0.1.0"


def upgrade() -> None:
    """Drop the table, where there is one: a schema made since has none."""
    op.execute("DROP TABLE IF EXISTS schema_version")
