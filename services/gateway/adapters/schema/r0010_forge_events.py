"""What GitHub told, as far as it counts."""

from chassis.migrations import run_beside

revision = "0010"
down_revision = "0006"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
