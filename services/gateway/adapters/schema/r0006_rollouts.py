"""Rollouts of a golden path's version, and how far each environment of them has come."""

from chassis.migrations import run_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
