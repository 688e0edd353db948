"""What each environment takes of its team's quota, from the claim of its request until its life is over."""

from chassis.migrations import run_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
