"""Indexes for what is looked through as a whole."""

from alembic import op
from sqlalchemy import text

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Each is made beside whoever writes; one that was left half made is made anew. Statements that are only written
    out are for a schema in which there is nothing yet."""
    context = op.get_context()
    with context.autocommit_block():
        for name in ("events_names", "directory_theirs"):
            op.execute(f"DROP INDEX IF EXISTS {name}")
        # Names of the copy in the order of a rebuild, which asks for a page at a time: each has a first event.
        op.create_index(
            "events_names",
            "events",
            [text('environment COLLATE "C"')],
            postgresql_where=text("version = 1"),
            postgresql_concurrently=not context.as_sql,
        )
        # A team's names with all that is counted by: what is looked through for a part of a name is not fetched.
        op.create_index(
            "directory_theirs",
            "directory",
            ["team", "name"],
            postgresql_include=["kind", "golden_path", "state", "running", "deployment"],
            postgresql_where=text("state <> 'deleted'"),
            postgresql_concurrently=not context.as_sql,
        )
