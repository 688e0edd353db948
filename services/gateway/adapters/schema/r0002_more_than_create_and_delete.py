"""Everything a person may ask for has its row; `run_id` is the run that a request steers."""

from chassis.migrations import run_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """The statements beside this file."""
    run_beside(__file__)
