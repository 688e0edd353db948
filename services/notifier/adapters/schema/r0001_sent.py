"""One row for each event and channel; the states are explained in the service's README."""

from chassis.migrations import run_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
