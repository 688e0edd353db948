"""The schema `gateway`, as changes that Alembic applies before the service starts (see `chassis.migrations`)."""

from typing import Final

NEEDS: Final = "0010"
"""The newest change that the service relies on."""
