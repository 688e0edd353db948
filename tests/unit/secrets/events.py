"""Events as the secrets service hears them, of a life that the test chooses."""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

from contracts.envelope import Event, Value
from contracts.events import (
    AccessChange,
    AccessRequested,
    AccessRevocationRequested,
    InfraReady,
    InfraReadyData,
    PipelineRemoved,
    SecretsFailed,
    StepFailed,
    Undone,
)
from contracts.values import Database, EnvironmentSpec, Failure, Owner, Receipt
from tests import samples

E = TypeVar("E", bound=Event)


def a_database(name: str, port: int = 5432) -> Database:
    """The schema that Terraform made for it."""
    schema = f"env_{name.replace('-', '_')}"
    return Database(host="127.0.0.1", port=port, database="apps", schema_name=schema, owner_role=schema)


def infra_ready(
    name: str,
    incarnation: UUID,
    *,
    person: str = "ada",
    database: Database | None = None,
    bare: bool = False,
    previous: EnvironmentSpec | None = None,
    run: UUID | None = None,
) -> InfraReady:
    """Infrastructure is there; `bare` means without a database, `previous` that it is an update."""
    there = None if bare else database or a_database(name)
    data = InfraReadyData(
        spec=owned_by(person, name),
        previous=previous,
        infrastructure=samples.infrastructure(name).model_copy(update={"database": there}),
    )
    return event(InfraReady, "provisioner", name, incarnation, data, run=run)


def owned_by(person: str, name: str) -> EnvironmentSpec:
    """What somebody asked for."""
    return samples.spec(name, owner=Owner(person=person, team="payments"))


def secrets_failed(
    name: str, incarnation: UUID, *, previous: EnvironmentSpec | None = None, run: UUID | None = None
) -> SecretsFailed:
    """The service's own failure comes back to it."""
    failure = Failure(step="secrets", code="gave_up", message="no luck", next_step="try again")
    data = StepFailed(spec=samples.spec(name), previous=previous, failure=failure)
    return event(SecretsFailed, "secrets", name, incarnation, data, run=run)


def pipeline_removed(
    name: str, incarnation: UUID, *, previous: EnvironmentSpec | None = None, run: UUID | None = None
) -> PipelineRemoved:
    """The road back has come this far."""
    undone = Undone(spec=samples.spec(name), previous=previous, receipt=Receipt())
    return event(PipelineRemoved, "cicd", name, incarnation, undone, run=run)


def access_requested(name: str, incarnation: UUID, at: datetime = samples.AT, **whom: Any) -> AccessRequested:
    """Somebody is to be let in."""
    change = AccessChange.model_validate({"requested_by": "ada", "role": "developer", **whom})
    return event(AccessRequested, "gateway", name, incarnation, change, at=at)


def access_withdrawn(name: str, incarnation: UUID, at: datetime = samples.AT, **whom: Any) -> AccessRevocationRequested:
    """Somebody is to be shut out."""
    change = AccessChange.model_validate({"requested_by": "ada", "role": "developer", **whom})
    return event(AccessRevocationRequested, "gateway", name, incarnation, change, at=at)


def event(
    kind: type[E],
    source: str,
    name: str,
    incarnation: UUID,
    data: Value,
    *,
    run: UUID | None = None,
    at: datetime = samples.AT,
) -> E:
    """An event of this kind, in the first run of a life unless told otherwise."""
    return kind.model_validate(
        {
            "id": uuid4(),
            "source": source,
            "type": kind.model_fields["type"].default,
            "subject": name,
            "time": at,
            "incarnation": incarnation,
            "runid": run or incarnation,
            "correlationid": run or incarnation,
            "causationid": uuid4(),
            "data": data,
        }
    )
