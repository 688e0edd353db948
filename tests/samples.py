"""Events as tests need them: complete, valid, and with ids that follow from their cause."""

from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

from chassis.identity import EventKey
from contracts.envelope import Event, Value
from contracts.events import Asked, EnvironmentRequested
from contracts.values import (
    Database,
    EnvironmentSpec,
    Infrastructure,
    Owner,
    Pipeline,
    Resource,
    Secrets,
)

E = TypeVar("E", bound=Event)

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def spec(name: str = "demo-api", **changes: Any) -> EnvironmentSpec:
    """A complete desired state."""
    values: dict[str, Any] = {
        "name": name,
        "kind": "preview",
        "golden_path": "nodejs-api",
        "golden_path_version": "1.0.0",
        "owner": Owner(person="ada", team="payments"),
        "repository": f"acme/{name}",
        "branch": "main",
        **changes,
    }
    return EnvironmentSpec(**values)


def asked(wanted: EnvironmentSpec) -> Asked:
    """What a request for a desired state carries."""
    return Asked(spec=wanted, requested_by="ada")


def infrastructure(name: str = "demo-api") -> Infrastructure:
    """What Terraform made for `name`."""
    identifier = f"env_{name.replace('-', '_')}"
    return Infrastructure(
        url=f"http://{name}.slipway.localhost:8015",
        hostname=f"{name}.slipway.localhost",
        namespace=name,
        database=Database(host="127.0.0.1", port=8012, database="apps", schema_name=identifier, owner_role=identifier),
        resources=(Resource(kind="database", id=f"apps/{identifier}"), Resource(kind="route", id=f"env-{name}")),
        commit="0123456789abcdef0123456789abcdef01234567",
    )


def secrets(name: str = "demo-api") -> Secrets:
    """Where the secrets of `name` are."""
    return Secrets(
        kv_path=f"env/{name}/app",
        kv_version=1,
        names=("APP_SECRET",),
        database_role=f"env-{name}",
        policy=f"env-{name}",
        workload_role=f"env-{name}",
        access_group=f"env:{name}:developer",
    )


def pipeline(name: str = "demo-api") -> Pipeline:
    """The repository of `name`."""
    return Pipeline(
        repository=f"acme/{name}",
        repository_id=1,
        html_url=f"http://127.0.0.1:8018/acme/{name}",
        clone_url=f"http://127.0.0.1:8018/acme/{name}.git",
        branch="main",
        workflow_path=".github/workflows/deploy.yml",
        commit="89abcdef0123456789abcdef0123456789abcdef",
        origin="created",
    )


def requested(key: EventKey, name: str = "demo-api", cause: UUID | None = None, **changes: Any) -> EnvironmentRequested:
    """The event that begins a create run of `name`."""
    cause = cause or uuid4()
    event_id = key.derive(cause, EnvironmentRequested.kind)
    return EnvironmentRequested(
        id=event_id,
        source="gateway",
        subject=name,
        time=changes.pop("time", AT),
        incarnation=event_id,
        run_id=event_id,
        correlation_id=event_id,
        causation_id=cause,
        traceparent=changes.pop("traceparent", None),
        data=Asked(spec=spec(name, **changes), requested_by="ada"),
    )


def follows(key: EventKey, kind: type[E], data: Value, because: Event, **changes: Any) -> E:
    """The event of this kind that `because` brings about."""
    return kind.model_validate(
        {
            "id": key.derive(because.id, kind.kind),
            "source": changes.pop("source", "provisioner"),
            "type": kind.model_fields["type"].default,
            "subject": because.subject,
            "time": changes.pop("time", because.time),
            "incarnation": because.incarnation,
            "runid": because.run_id,
            "correlationid": because.correlation_id,
            "causationid": because.id,
            "traceparent": because.traceparent,
            "data": data,
            **changes,
        }
    )
