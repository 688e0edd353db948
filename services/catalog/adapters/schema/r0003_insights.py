"""What insights and the audit read."""

from chassis.migrations import run_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
