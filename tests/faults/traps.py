"""What makes a step fail for good: somebody else has what the environment needs.

Invariant: a trap is lifted before anything is judged, so what is found then is the platform's.
"""

from collections.abc import Callable, Mapping
from typing import Final
from uuid import uuid4

from psycopg import sql

from contracts.envelope import ServiceName
from tests.faults.outside import Outside


def _occupy_role(outside: Outside, name: str) -> None:
    _execute(outside, "CREATE ROLE {}", name)


def _free_role(outside: Outside, name: str) -> None:
    _execute(outside, "DROP ROLE IF EXISTS {}", name)


def _occupy_secret(outside: Outside, name: str) -> None:
    outside.vault().write_data(f"kv/metadata/env/{name}/app", data={"custom_metadata": {"made_by": "hand"}})


def _free_secret(outside: Outside, name: str) -> None:
    outside.vault().delete(f"kv/metadata/env/{name}/app")


def _occupy_repository(outside: Outside, name: str) -> None:
    outside.demo.forge("POST", "/orgs/acme/repos", {"name": name, "auto_init": True}).raise_for_status()
    mark = {"name": "SLIPWAY_MADE_FOR", "value": f"{name}/{uuid4()}/another-team"}
    outside.demo.forge("POST", f"/repos/acme/{name}/actions/variables", mark).raise_for_status()


def _free_repository(outside: Outside, name: str) -> None:
    answer = outside.demo.forge("DELETE", f"/repos/acme/{name}")
    if answer.status_code != 404:
        answer.raise_for_status()


def _execute(outside: Outside, statement: str, name: str) -> None:
    role = sql.Identifier(f"env_{name.replace('-', '_')}")
    with outside.demo.database("postgres", outside.demo.key("pg-postgres.password")) as database:
        database.execute(sql.SQL(statement).format(role))


OCCUPY: Final[Mapping[ServiceName, Callable[[Outside, str], None]]] = {
    "provisioner": _occupy_role,
    "secrets": _occupy_secret,
    "cicd": _occupy_repository,
}
"""By the service whose step then fails."""
FREE: Final[Mapping[ServiceName, Callable[[Outside, str], None]]] = {
    "provisioner": _free_role,
    "secrets": _free_secret,
    "cicd": _free_repository,
}
