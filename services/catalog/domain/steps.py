"""The three steps of a run: their states, how long they took, and what each makes."""

from datetime import datetime
from typing import Final

from contracts.queries import RunView, StepState, StepView
from contracts.values import Pipeline, Resource, Secrets, Step
from services.catalog.domain.altering import altered

STEPS: Final[tuple[Step, ...]] = ("infrastructure", "secrets", "pipeline")


def pending() -> tuple[StepView, ...]:
    """The steps of a run that has not begun."""
    return tuple(StepView(step=step) for step in STEPS)


def changed(
    steps: tuple[StepView, ...],
    step: Step,
    state: StepState,
    *,
    started_at: datetime | None = None,
    ended_at: datetime | None = None,
) -> tuple[StepView, ...]:
    """`steps` with one of them in another state, which begins at `started_at` or ends at `ended_at`."""
    at = STEPS.index(step)
    began = started_at if started_at is not None else steps[at].started_at
    view = altered(steps[at], {"state": state, "started_at": began, "ended_at": ended_at})
    return (*steps[:at], view, *steps[at + 1 :])


def current_step(run: RunView) -> Step:
    """The step that has the next word."""
    for view in run.steps:
        if view.state in {"running", "waiting", "undoing"}:
            return view.step
    return run.failure.step if run.failure else "pipeline"


def step_seconds(run: RunView, step: Step) -> float | None:
    """How long a step of a successful creation took; None for any other run."""
    view = run.steps[STEPS.index(step)]
    if not _succeeded_in_creating(run) or view.started_at is None or view.ended_at is None:
        return None
    return (view.ended_at - view.started_at).total_seconds()


def total_seconds(run: RunView) -> float | None:
    """From the request to the last step of a successful creation; None for any other run."""
    last = run.steps[-1].ended_at
    if not _succeeded_in_creating(run) or last is None:
        return None
    return (last - run.requested_at).total_seconds()


def resources_of_secrets(made: Secrets) -> tuple[Resource, ...]:
    """As the secrets service's receipts name them: paths of OpenBao's API, and the path people use for the secret."""
    if made.resources:
        return made.resources
    # Said before the event told them itself.
    found = [
        Resource(kind="access_group", id=f"identity/group/name/{made.access_group}"),
        Resource(kind="policy", id=f"sys/policies/acl/{made.policy}-developer"),
        Resource(kind="policy", id=f"sys/policies/acl/{made.policy}"),
        Resource(kind="workload_role", id=f"auth/approle/role/{made.workload_role}"),
    ]
    if made.database_role is not None:
        found.append(Resource(kind="database_role", id=f"database/roles/{made.database_role}"))
    return (*found, Resource(kind="secret", id=made.kv_path))


def resources_of_pipeline(made: Pipeline) -> tuple[Resource, ...]:
    """The workflow, and the repository where it was made for this environment."""
    workflow = Resource(kind="workflow", id=f"{made.repository}/{made.workflow_path}")
    if made.origin == "attached":
        return (workflow,)
    return (Resource(kind="repository", id=made.repository), workflow)


def _succeeded_in_creating(run: RunView) -> bool:
    return run.kind == "create" and run.state == "succeeded"
