"""How answers follow from what the catalog and the request store know; pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, get_args
from urllib.parse import quote
from uuid import UUID

from contracts.golden_path import GoldenPath
from contracts.queries import DeploymentView, EnvironmentState, EnvironmentView, Facets, RecordedEvent, RunView
from contracts.values import EnvironmentSpec, Failure, Infrastructure, LeftBehind, Pipeline, Resource, Secrets
from services.gateway.api.answers import (
    API,
    Accepted,
    AcceptedLinks,
    Asked,
    BegunRun,
    Change,
    CostAnswer,
    DatabaseAnswer,
    DeploymentAnswer,
    EnvironmentAnswer,
    EventAnswer,
    Expected,
    FacetsAnswer,
    FailureAnswer,
    GrantAnswer,
    InfrastructureAnswer,
    PipelineAnswer,
    PlanAnswer,
    PlannedCost,
    PullRequestAnswer,
    QuotaAnswer,
    RunAnswer,
    SecretsAnswer,
    StepAnswer,
    Thing,
    ThingLeft,
)
from services.gateway.domain.changes import end_of, newer_version
from services.gateway.domain.people import Principal
from services.gateway.domain.policy import cost_per_hour, cost_per_month
from services.gateway.handlers.planning import Planned
from services.gateway.handlers.settling import Answered

PlannedAction = Literal["create", "update", "replace", "destroy"]
_BEGINNING: Final[dict[str, EnvironmentState]] = {"create": "creating", "update": "updating", "delete": "deleting"}
"""The state of an environment when a run of this operation begins."""


@dataclass(frozen=True)
class Links:
    """Builds addresses. Those of the API are paths; those for people are complete."""

    public_url: str
    traces_url: str

    def environment(self, name: str) -> str:
        """The API's resource of an environment."""
        return f"{API}/environments/{quote(name)}"

    def run(self, run_id: UUID) -> str:
        """The API's resource of a run."""
        return f"{API}/runs/{run_id}"

    def run_page(self, run_id: UUID) -> str:
        """Where a person watches a run."""
        return f"{self.public_url}/runs/{run_id}"

    def environment_page(self, name: str) -> str:
        """Where a person sees an environment."""
        return f"{self.public_url}/environments/{quote(name)}"

    def trace(self, trace_id: str | None) -> str | None:
        """Where a person sees a trace."""
        return f"{self.traces_url}/trace/{trace_id}" if trace_id and self.traces_url else None


def accepted(answered: Answered, links: Links) -> Accepted:
    """The answer to an accepted request; the same each time it is asked for."""
    request = answered.request
    spec = request.run.spec
    trace_id = request.traceparent.split("-")[1] if request.traceparent else None
    name, run_id = request.environment, request.event_id
    return Accepted(
        environment=Asked(**_asked(spec), state=_BEGINNING[request.operation]),
        run=BegunRun(
            id=run_id,
            kind=request.operation,
            environment=name,
            requested_at=request.requested_at,
        ),
        links=AcceptedLinks(
            self=links.environment(name),
            run=links.run(run_id),
            stream=f"{links.run(run_id)}/stream",
            events=f"{links.environment(name)}/events",
            page=links.run_page(run_id),
            trace=links.trace(trace_id),
        ),
        trace_id=trace_id,
    )


def environment(view: EnvironmentView, path: GoldenPath | None, links: Links, asker: Principal) -> EnvironmentAnswer:
    """An environment for people and programs; `path` is its golden path, where it is still on offer."""
    infrastructure = view.infrastructure
    url = infrastructure.url if infrastructure else None
    known = {"name": view.name, "kind": view.spec.kind}
    if infrastructure:
        known["namespace"] = infrastructure.namespace
        known |= {"url": url} if url else {}
        known |= {"hostname": infrastructure.hostname} if infrastructure.hostname else {}
    resource = links.environment(view.name)
    return EnvironmentAnswer(
        **(_asked(view.spec) | {"expires_at": end_of(view)}),
        state=view.state,
        incarnation=view.incarnation,
        running=view.running,
        running_since=view.running_since,
        running_reason=view.running_reason,
        deployment=view.deployment,
        last_deployment=_deployment(view.last_deployment),
        last_successful_deployment=_deployment(view.last_successful_deployment),
        cost=_cost(view, path),
        pull_request=_pull_request(view),
        depends_on=list(view.spec.depends_on or ()),
        path=view.spec.path,
        last_activity_at=view.last_activity_at,
        created_at=view.created_at,
        updated_at=view.updated_at,
        ready_at=view.ready_at,
        url=url,
        hostname=infrastructure.hostname if infrastructure else None,
        infrastructure=_infrastructure(infrastructure),
        secrets=_secrets(view.secrets),
        pipeline=_pipeline(view.pipeline),
        failure=failure(view.failure),
        left_behind=things_left(view.left_behind),
        kept=things_left(view.kept),
        kept_because=view.kept_because,
        update_available=newer_version(view.spec, path),
        access=grants(view),
        drift=things(view.drift),
        drift_detected_at=view.drift_detected_at,
        your_role=asker.role_in(view) or "viewer",
        run_id=view.run_id,
        links={
            "self": resource,
            "run": links.run(view.run_id),
            "stream": f"{links.run(view.run_id)}/stream",
            "events": f"{resource}/events",
            "runs": f"{resource}/runs",
            "page": links.environment_page(view.name),
            "url": url,
            **(path.links_of(known) if path else {}),
        },
    )


def run(view: RunView, links: Links) -> RunAnswer:
    """A run for people and programs."""
    return RunAnswer(
        id=view.id,
        environment=view.environment,
        kind=view.kind,
        state=view.state,
        requested_by=view.requested_by,
        team=view.team,
        golden_path=view.golden_path,
        requested_at=view.requested_at,
        ended_at=view.ended_at,
        steps=[
            StepAnswer(step=s.step, state=s.state, started_at=s.started_at, ended_at=s.ended_at) for s in view.steps
        ],
        failure=failure(view.failure),
        created=things(view.created),
        undone=things(view.undone),
        left_behind=things_left(view.left_behind),
        kept=things_left(view.kept),
        cause=view.cause,
        called_off_by=view.called_off_by,
        stalled_since=view.stalled_since,
        trace_id=view.trace_id,
        links={
            "self": links.run(view.id),
            "environment": links.environment(view.environment),
            "stream": f"{links.run(view.id)}/stream",
            "page": links.run_page(view.id),
            "trace": links.trace(view.trace_id),
        },
    )


def plan(planned: Planned) -> PlanAnswer:
    """A plan, and what a person wants to know before they agree to it."""
    spec, path = planned.wish.spec, planned.wish.path
    total = next((duration for duration in planned.durations if duration.step == "total"), None)
    usual = float(path.usual_duration_seconds) if path is not None else 0.0
    actions: tuple[PlannedAction, ...] = get_args(PlannedAction)
    return PlanAnswer(
        environment=spec.name,
        changes=[
            Change(
                action=change.action,
                resource=Thing(**change.resource.model_dump()),
                detail=change.detail,
                loses_data=change.loses_data,
            )
            for change in planned.plan.changes
        ],
        counts={action: sum(change.action == action for change in planned.plan.changes) for action in actions},
        hash=planned.plan.hash,
        spec=spec,
        cost=PlannedCost(
            currency=path.prices.currency if path is not None else None,
            per_hour=str(cost_per_hour(path, spec.parameters)),
            per_month=str(planned.room.place.cost_per_month),
        ),
        expected=Expected(
            p50_seconds=total.p50_seconds if total is not None else usual,
            p90_seconds=total.p90_seconds if total is not None else None,
            measured=total is not None,
        ),
        quota={
            usage.what: QuotaAnswer(
                scope=usage.scope,
                used=str(usage.used),
                limit=None if usage.limit is None else str(usage.limit),
                left=None if usage.left is None else str(usage.left),
            )
            for usage in planned.usages
        },
        warnings=list(planned.warnings),
    )


def facets(found: Facets | None) -> FacetsAnswer | None:
    """How many there are by what."""
    return FacetsAnswer.model_validate(found.model_dump()) if found is not None else None


def grants(view: EnvironmentView) -> list[GrantAnswer]:
    """Who else may use an environment."""
    return [GrantAnswer(role=grant.role, person=grant.person, team=grant.team) for grant in view.access]


def event(recorded: RecordedEvent) -> EventAnswer:
    """An event of the log. Its data never holds a secret, so all of it is shown."""
    said: dict[str, Any] = recorded.event
    traceparent = said.get("traceparent")
    return EventAnswer(
        sequence=recorded.sequence,
        type=str(said.get("type", "")),
        kind=recorded.subject.rpartition(".")[2],
        source=str(said.get("source", "")),
        time=str(said.get("time", "")),
        run_id=str(said.get("runid", "")),
        trace_id=traceparent.split("-")[1] if isinstance(traceparent, str) else None,
        data=said.get("data") or {},
    )


def failure(found: Failure | None) -> FailureAnswer | None:
    """A failure, where there is one."""
    return FailureAnswer(**found.model_dump()) if found else None


def things(found: tuple[Resource, ...]) -> list[Thing]:
    """Resources."""
    return [Thing(kind=resource.kind, id=resource.id) for resource in found]


def things_left(found: tuple[LeftBehind, ...]) -> list[ThingLeft]:
    """Resources that were left, with the reasons."""
    return [ThingLeft(kind=left.resource.kind, id=left.resource.id, reason=left.reason) for left in found]


def rfc3339(moment: datetime) -> str:
    """An instant as it stands in every answer."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _deployment(found: DeploymentView | None) -> DeploymentAnswer | None:
    return DeploymentAnswer(**found.model_dump()) if found is not None else None


def _cost(view: EnvironmentView, path: GoldenPath | None) -> CostAnswer | None:
    """What it costs; where nobody noted a price, by those of its golden path as they are now."""
    known = view.cost
    if known is not None and known.per_hour is not None:
        return CostAnswer(
            currency=known.currency,
            per_hour=str(known.per_hour),
            per_month=str(known.per_month),
            so_far=str(known.so_far),
            recorded=str(known.recorded),
        )
    if path is None or view.alive_seconds is None or view.gone_at is not None:
        return None
    an_hour = cost_per_hour(path, view.spec.parameters)
    so_far = an_hour * Decimal(str(view.alive_seconds)) / 3600
    return CostAnswer(
        currency=path.prices.currency,
        per_hour=str(an_hour),
        per_month=str(cost_per_month(path, view.spec.parameters)),
        so_far=str(so_far.quantize(Decimal("0.01"))),
        recorded=str(known.recorded) if known is not None else "0.00",
    )


def _infrastructure(found: Infrastructure | None) -> InfrastructureAnswer | None:
    if found is None:
        return None
    return InfrastructureAnswer(
        namespace=found.namespace,
        commit=found.commit,
        database=DatabaseAnswer(**found.database.model_dump()) if found.database else None,
        resources=things(found.resources),
    )


def _secrets(found: Secrets | None) -> SecretsAnswer | None:
    if found is None:
        return None
    return SecretsAnswer(
        path=found.kv_path,
        version=found.kv_version,
        names=list(found.names),
        database_role=found.database_role,
        access_group=found.access_group,
    )


def _pipeline(found: Pipeline | None) -> PipelineAnswer | None:
    if found is None:
        return None
    return PipelineAnswer(
        repository_url=found.html_url,
        clone_url=found.clone_url,
        branch=found.branch,
        workflow_path=found.workflow_path,
        commit=found.commit,
        origin=found.origin,
        pull_request_url=found.pull_request_url,
    )


def _pull_request(view: EnvironmentView) -> PullRequestAnswer | None:
    pull = view.spec.pull_request
    if pull is None:
        return None
    url = f"{view.pipeline.html_url}/pull/{pull.number}" if view.pipeline is not None else None
    return PullRequestAnswer(number=pull.number, url=url, approved_commit=pull.approved_commit)


def _asked(spec: EnvironmentSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "kind": spec.kind,
        "golden_path": spec.golden_path,
        "golden_path_version": spec.golden_path_version,
        "owner": spec.owner,
        "repository": spec.repository,
        "branch": spec.branch,
        # In one order: what was kept and read again shall look as it did.
        "parameters": dict(sorted(spec.parameters.items())),
        "expires_at": spec.expires_at,
    }
