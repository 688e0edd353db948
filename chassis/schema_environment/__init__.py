"""Alembic's environment for the schema of any service: see `chassis.migrations`."""
