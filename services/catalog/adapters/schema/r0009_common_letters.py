"""Indexes for common letters of names and for what is unwell.

Letters stand together with the first one of the name: where no name that begins so has what is sought, all are passed
over.
"""

from alembic import op
from sqlalchemy import text

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """The index is made beside whoever writes; one that was left half made is made anew. Statements that are only
    written out are for a schema in which there is nothing yet."""
    context = op.get_context()
    # Costly to the planner, which would else work it out for row after row instead of asking the index. The index makes
    # each key count once, so nothing is made distinct before.
    op.execute(
        "CREATE OR REPLACE FUNCTION headed_grams(head text, part text) RETURNS text[]"
        " LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000"
        " RETURN ARRAY(SELECT head || substr(part, i, 3) FROM generate_series(1, length(part) - 2) AS i)"
    )
    with context.autocommit_block():
        for name in ("directory_headed", "directory_unwell"):
            op.execute(f"DROP INDEX IF EXISTS {name}")
        op.create_index(
            "directory_headed",
            "directory",
            [text('headed_grams("left"(name, 1), name)')],
            postgresql_using="gin",
            postgresql_where=text("state <> 'deleted'"),
            postgresql_concurrently=not context.as_sql,
        )
        # Few are unwell, so in the order of all they are far from each other; and an index of them is seldom written.
        op.create_index(
            "directory_unwell",
            "directory",
            ["running", "created_at", "name"],
            postgresql_where=text("state <> 'deleted' AND running IN ('down', 'degraded')"),
            postgresql_concurrently=not context.as_sql,
        )
