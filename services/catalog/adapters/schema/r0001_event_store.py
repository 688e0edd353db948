"""The catalog's event store, the views folded from it, and what has to be said because of them."""

from chassis.migrations import run_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
