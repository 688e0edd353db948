"""People who signed in with a browser."""

from chassis.migrations import run_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
