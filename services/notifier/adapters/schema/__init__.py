"""The schema `notifier`, as changes that Alembic applies before the service starts (see `chassis.migrations`)."""

from typing import Final

NEEDS: Final = "0002"
"""The newest change that the service relies on."""
