"""Events as the secrets service hears them, of a life that the test chooses."""

from typing import TypeVar
from uuid import UUID, uuid4

from contracts.envelope import Event, Value
from contracts.events import InfraReady, InfraReadyData, PipelineRemoved, SecretsFailed, StepFailed, Undone
from contracts.values import Database, Failure, Owner, Receipt
from tests import samples

E = TypeVar("E", bound=Event)


def a_database(name: str, port: int = 5432) -> Database:
    """The schema that Terraform made for it."""
    schema = f"env_{name.replace('-', '_')}"
    return Database(host="127.0.0.1", port=port, database="apps", schema_name=schema, owner_role=schema)


def infra_ready(
    name: str, incarnation: UUID, *, person: str = "ada", database: Database | None = None, bare: bool = False
) -> InfraReady:
    """Infrastructure is there; `bare` means without a database."""
    there = None if bare else database or a_database(name)
    data = InfraReadyData(
        spec=samples.spec(name, owner=Owner(person=person, team="payments")),
        infrastructure=samples.infrastructure(name).model_copy(update={"database": there}),
    )
    return event(InfraReady, "provisioner", name, incarnation, data)


def secrets_failed(name: str, incarnation: UUID) -> SecretsFailed:
    """The service's own failure comes back to it."""
    failure = Failure(step="secrets", code="gave_up", message="no luck", next_step="try again")
    return event(SecretsFailed, "secrets", name, incarnation, StepFailed(spec=samples.spec(name), failure=failure))


def pipeline_removed(name: str, incarnation: UUID) -> PipelineRemoved:
    """The road back has come this far."""
    undone = Undone(spec=samples.spec(name), receipt=Receipt())
    return event(PipelineRemoved, "cicd", name, incarnation, undone)


def event(kind: type[E], source: str, name: str, incarnation: UUID, data: Value) -> E:
    """An event of this kind in the first run of a life."""
    return kind.model_validate(
        {
            "id": uuid4(),
            "source": source,
            "type": kind.model_fields["type"].default,
            "subject": name,
            "time": samples.AT,
            "incarnation": incarnation,
            "runid": incarnation,
            "correlationid": incarnation,
            "causationid": uuid4(),
            "data": data,
        }
    )
