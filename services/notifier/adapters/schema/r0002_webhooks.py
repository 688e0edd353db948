"""Subscriptions to webhooks and what each was sent."""

from chassis.migrations import run_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
