"""The index whose place `directory_theirs` has taken."""

from alembic import op

revision = "c0002"
down_revision = "c0001"
last_reader = "0.1.0"


def upgrade() -> None:
    """Drop it."""
    op.execute("DROP INDEX IF EXISTS directory_team")
