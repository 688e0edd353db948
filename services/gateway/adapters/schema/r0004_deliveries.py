"""Deliveries of webhooks that were heard, so that a repetition says nothing new."""

from chassis.migrations import run_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
