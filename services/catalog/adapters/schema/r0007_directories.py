"""A repository may hold several applications, each in a directory."""

from chassis.migrations import run_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
