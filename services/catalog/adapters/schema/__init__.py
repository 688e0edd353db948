"""The schema `catalog`, as changes that Alembic applies before the service starts (see `chassis.migrations`)."""

from typing import Final

NEEDS: Final = "0009"
"""The newest change that the service relies on."""
