"""What is told in the end: what exists, what would change, and in whose name."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chassis.failures import PermanentError
from contracts.plans import Plan, PlannedChange
from contracts.values import Database, Infrastructure
from services.provisioner.ports import Applied, Author, Files

_REPORT_TO_PLATFORM_TEAM: Final = "Tell the team that answers for the golden path."


def infrastructure_of(applied: Applied, commit: str) -> Infrastructure:
    """What InfraReady says. PermanentError where the golden path's outputs are not what they must be."""
    try:
        found = applied.outputs.get("database")
        return Infrastructure(
            url=applied.outputs.get("url"),
            hostname=applied.outputs.get("hostname"),
            namespace=applied.outputs["namespace"],
            database=_database(found) if found is not None else None,
            resources=tuple(sorted(applied.resources, key=lambda resource: (resource.kind, resource.id))),
            commit=commit,
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise PermanentError(
            "bad_golden_path",
            f"the golden path's Terraform does not put out what it must: {type(wrong).__name__} {wrong}"[:500],
            next_step=_REPORT_TO_PLATFORM_TEAM,
        ) from wrong


def _database(found: Mapping[str, Any]) -> Database:
    return Database(
        host=found["host"],
        port=int(found["port"]),
        database=found["database"],
        schema_name=found["schema"],
        owner_role=found["role"],
        master_secret=found.get("master_secret"),
    )


def author_of(person: str) -> Author:
    """In whose name a commit is made. `.invalid` (RFC 2606) where all we have is a login."""
    return Author(name=person, email=person if "@" in person else f"{person}@users.slipway.invalid")


def plan_of(files: Files, commit: str | None, changes: Sequence[PlannedChange]) -> Plan:
    """The plan of a directory made against `commit`; the same directory, commit and changes give the same hash."""
    said = {
        "files": {path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
        "commit": commit,
        "changes": [change.model_dump(mode="json") for change in changes],
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return Plan(changes=tuple(changes), commit=commit, hash=digest)
