"""What runs are found by."""

from chassis.migrations import run_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
