"""The services' schemas, brought up to date by whoever brings the platform up, before each service starts.

Invariant: it happens in the process of the command that ends afterwards, and only where something is missing; what runs
for weeks never loads Alembic.
"""

from __future__ import annotations

import threading

from deploy import migrations
from deploy.embedded.errors import PlatformError
from deploy.embedded.postgres import Cluster

_one_at_a_time = threading.Lock()
"""Alembic keeps what it works on in variables of its modules, and parts start in threads."""


def bring_up(cluster: Cluster, service: str) -> None:
    """Make a service's schema what its code needs. Raises PlatformError and psycopg.Error."""
    settings = cluster.settings(service)
    if migrations.is_up_to_date(service, settings):
        return
    with _one_at_a_time:
        from chassis.migrations import MigrationError  # noqa: PLC0415 - it loads Alembic

        try:
            migrations.bring_up(service, settings)
        except MigrationError as error:
            raise PlatformError(
                f"the schema {service} could not be brought up to date: {error}", remedy="then run make up again"
            ) from error
