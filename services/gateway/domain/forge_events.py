"""What GitHub, or a forge that speaks like it, tells of: pull requests, what people write under them, workflow runs and
deployments. What of it counts, as far as the delivery alone says. Pure.

Invariants
- A delivery is read for what it says and for nothing else: whatever is not as GitHub writes it is refused as a whole.
- Nobody but a member brings code from a fork here: only their label, or their comment, and only the commit that was
  there when they said so, or the one that they name.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from contracts.envelope import Timestamp
from contracts.names import BranchName, EnvironmentName, PersonName, RepositoryName
from contracts.signals import Commit, Deployment
from services.gateway.domain.refusals import BrokenRule, InvalidError

LABEL: Final = "preview"
"""The label by which a preview is asked for."""
COMMANDS: Final = "`/slipway preview`, `/slipway preview <commit>` and `/slipway preview delete`"
SOMEBODY: Final = "github"
"""Who did it, where GitHub's name for them is none of ours."""
EVENTS: Final = ("pull_request", "issue_comment", "workflow_run", "deployment_status")
"""What is listened to; everything else is answered and forgotten."""
_MEMBERS: Final = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""`author_association`: whom GitHub itself counts to the repository or its organisation."""
_COMMAND: Final = re.compile(r"/slipway(?:[ \t]+(.*?))?[ \t]*")
_LOOKED_AT: Final = re.compile(r"preview ([0-9a-f]{7,64})")
_WORKFLOW: Final = re.compile(r"\.github/workflows/slipway-([a-z0-9-]{1,40})\.yml(?:@.*)?", re.DOTALL)
_PERSON: Final[TypeAdapter[str]] = TypeAdapter(PersonName)
_NAME: Final[TypeAdapter[str]] = TypeAdapter(EnvironmentName)
_BRANCH: Final[TypeAdapter[str]] = TypeAdapter(BranchName)
Text = Annotated[str, StringConstraints(max_length=300)]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40,64}$")]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Repository(_Part):
    full_name: RepositoryName


class _Account(_Part):
    login: Text


class _Label(_Part):
    name: Text


class _End(_Part):
    ref: Text
    sha: Sha
    repo: _Repository | None
    """None: that repository is gone."""


class _Pull(_Part):
    number: Number
    state: Literal["open", "closed"]
    updated_at: Annotated[datetime, Field(strict=False)]
    head: _End
    base: _End
    labels: list[_Label] = Field(max_length=200)


class _PullRequestEvent(_Part):
    action: Text
    pull_request: _Pull
    repository: _Repository
    sender: _Account
    label: _Label | None = None


class _Issue(_Part):
    number: Number
    pull_request: dict[str, Any] | None = None


class _Comment(_Part):
    body: str | None
    author_association: Text = "NONE"


class _CommentEvent(_Part):
    action: Text
    issue: _Issue
    comment: _Comment
    repository: _Repository
    sender: _Account


class _Run(_Part):
    id: Annotated[int, Field(ge=0, le=2**53)]
    run_attempt: Annotated[int, Field(ge=1, le=10_000)] = 1
    path: str = Field(max_length=1000)
    event: Text
    conclusion: Text | None = None
    head_branch: Text | None
    head_sha: Sha
    actor: _Account | None = None
    html_url: str = Field(max_length=2000)
    run_started_at: Annotated[datetime, Field(strict=False)] | None = None
    updated_at: Annotated[datetime, Field(strict=False)]


class _WorkflowRunEvent(_Part):
    action: Text
    workflow_run: _Run
    repository: _Repository


class _Deployment(_Part):
    id: Annotated[int, Field(ge=0, le=2**53)]
    sha: Sha
    ref: Text
    environment: Text
    creator: _Account | None = None


class _Status(_Part):
    state: Text
    log_url: str | None = Field(default=None, max_length=2000)
    created_at: Annotated[datetime, Field(strict=False)]


class _DeploymentStatusEvent(_Part):
    deployment: _Deployment
    deployment_status: _Status
    repository: _Repository
    workflow_run: dict[str, Any] | None = None


class KnownPull(BaseModel):
    """A pull request as it was told of last."""

    model_config = ConfigDict(frozen=True)

    repository: RepositoryName
    number: Number
    base: Text
    """The branch that it is to be merged into."""
    branch: Text
    commit: Sha
    from_fork: bool
    is_open: bool
    changed_at: Timestamp


class PullAsk(BaseModel):
    """What somebody wants of the preview of a pull request."""

    model_config = ConfigDict(frozen=True)

    about: Literal["pull"] = "pull"
    want: Literal["preview", "no preview", "newest", "help"]
    repository: RepositoryName
    number: Number
    login: Text
    by_comment: bool = False
    is_vouched_for: bool = True
    """Whether the forge counts them to its own; whoever may set a label is one of these."""
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}$")] | None = None
    """How the commit begins that they looked at, where they say so."""
    pull: KnownPull | None = None
    """As it was when this was said; None where nothing was ever told of it."""


class DeploymentTold(BaseModel):
    """A deployment that got somewhere, of the environment of this name, if that belongs to this repository."""

    model_config = ConfigDict(frozen=True)

    about: Literal["deployment"] = "deployment"
    repository: RepositoryName
    environment: EnvironmentName
    branch: Text | None
    """Where it came from; None where that was not said."""
    by_workflow: bool
    """Whether a workflow of ours made it, which deploys one branch alone."""
    deployment_id: str
    state: Literal["queued", "started", "succeeded", "failed"]
    commit: Commit
    author: PersonName
    duration_seconds: float | None = None
    log_url: str | None = None
    time: Timestamp

    def said(self, branch: str) -> Deployment:
        """What is said of it. Raises pydantic's `ValidationError` for an address that is none."""
        return Deployment.model_validate(
            {
                "deployment_id": self.deployment_id,
                "state": self.state,
                "commit": self.commit,
                "branch": branch,
                "author": self.author,
                "duration_seconds": self.duration_seconds,
                "log_url": self.log_url or None,
            }
        )


Told = Annotated[PullAsk | DeploymentTold, Field(discriminator="about")]
TOLD: Final[TypeAdapter[PullAsk | DeploymentTold]] = TypeAdapter(Told)


def line_of(told: PullAsk | DeploymentTold) -> str:
    """What is told of one thing is done in the order in which it was told."""
    if isinstance(told, PullAsk):
        return f"{told.repository.lower()}#{told.number}"
    return f"{told.repository.lower()} {told.deployment_id}"


def read(event: str, payload: Any) -> tuple[KnownPull | None, PullAsk | DeploymentTold | None]:
    """The pull request that a delivery shows, and what follows from it; None where there is no such thing. Raises
    `InvalidError` for what GitHub would not have written."""
    try:
        match event:
            case "pull_request":
                return _pull_request(_PullRequestEvent.model_validate(payload))
            case "issue_comment":
                return None, _comment(_CommentEvent.model_validate(payload))
            case "workflow_run":
                return None, _workflow_run(_WorkflowRunEvent.model_validate(payload))
            case "deployment_status":
                return None, _deployment_status(_DeploymentStatusEvent.model_validate(payload))
    except ValidationError as error:
        raise InvalidError([BrokenRule("body", f"must be a {event} as GitHub tells of it")]) from error
    return None, None


def person_of(login: str) -> str:
    """Who somebody is in what is said of them."""
    try:
        return _PERSON.validate_python(login)
    except ValidationError:
        return SOMEBODY


def shown_branch(pull: KnownPull) -> str:
    """The branch of its repository that a pull request stands on, as an environment can name it."""
    branch = f"pull/{pull.number}/head" if pull.from_fork else pull.branch
    return branch if is_a_branch(branch) else f"pull/{pull.number}/head"


def is_a_branch(text: str) -> bool:
    """Whether an environment can name it."""
    try:
        _BRANCH.validate_python(text)
    except ValidationError:
        return False
    return True


def _pull_request(event: _PullRequestEvent) -> tuple[KnownPull, PullAsk | None]:
    told = event.pull_request
    repository = event.repository.full_name
    head = told.head.repo.full_name if told.head.repo is not None else ""
    pull = KnownPull(
        repository=repository,
        number=told.number,
        base=told.base.ref,
        branch=told.head.ref,
        commit=told.head.sha,
        from_fork=head.lower() != repository.lower(),
        is_open=told.state == "open",
        changed_at=told.updated_at,
    )
    want = _want(event, pull)
    if want is None:
        return pull, None
    ask = PullAsk(want=want, repository=repository, number=told.number, login=event.sender.login, pull=pull)
    return pull, ask


def _want(event: _PullRequestEvent, pull: KnownPull) -> Literal["preview", "no preview", "newest"] | None:
    is_about_it = event.label is not None and event.label.name.lower() == LABEL
    has_it = any(label.name.lower() == LABEL for label in event.pull_request.labels)
    match event.action:
        case "labeled" if is_about_it and pull.is_open:
            return "preview"
        case "opened" | "reopened" if has_it and pull.is_open and not pull.from_fork:
            return "preview"
        case "unlabeled" if is_about_it:
            return "no preview"
        case "closed":
            return "no preview"
        case "synchronize" if not pull.from_fork:
            return "newest"
    return None


def _comment(event: _CommentEvent) -> PullAsk | None:
    first = next(iter((event.comment.body or "").lstrip().splitlines()), "")
    found = _COMMAND.fullmatch(first[:200])
    if event.action != "created" or event.issue.pull_request is None or found is None:
        return None
    words = " ".join((found[1] or "").lower().split())
    wants: dict[str, Literal["preview", "no preview"]] = {"preview": "preview", "preview delete": "no preview"}
    looked_at = _LOOKED_AT.fullmatch(words)
    return PullAsk(
        want="preview" if looked_at is not None else wants.get(words, "help"),
        commit=looked_at[1] if looked_at is not None else None,
        repository=event.repository.full_name,
        number=event.issue.number,
        login=event.sender.login,
        by_comment=True,
        is_vouched_for=event.comment.author_association in _MEMBERS,
    )


_OF_RUNS: Final[dict[tuple[str, str | None], Literal["queued", "started", "succeeded", "failed"]]] = {
    ("requested", None): "queued",
    ("in_progress", None): "started",
    ("completed", "success"): "succeeded",
    ("completed", "failure"): "failed",
    ("completed", "timed_out"): "failed",
    ("completed", "cancelled"): "failed",
    ("completed", "startup_failure"): "failed",
}
"""By the event's action and, of a run that ended, its conclusion."""
_OF_STATUSES: Final[dict[str, Literal["queued", "started", "succeeded", "failed"]]] = {
    "queued": "queued",
    "pending": "queued",
    "waiting": "queued",
    "in_progress": "started",
    "success": "succeeded",
    "failure": "failed",
    "error": "failed",
}


def _workflow_run(event: _WorkflowRunEvent) -> DeploymentTold | None:
    """A run of a workflow of ours is a deployment, under the very id by which the workflow itself tells of it."""
    run = event.workflow_run
    environment = _name(found[1]) if (found := _WORKFLOW.fullmatch(run.path)) is not None else None
    state = _OF_RUNS.get((event.action, run.conclusion if event.action == "completed" else None))
    if environment is None or state is None or run.event.startswith("pull_request") or run.head_branch is None:
        return None
    lasted = (run.updated_at - run.run_started_at).total_seconds() if run.run_started_at is not None else None
    return DeploymentTold(
        repository=event.repository.full_name,
        environment=environment,
        branch=run.head_branch,
        by_workflow=True,
        deployment_id=f"{run.head_sha[:12]}-{run.id}-{run.run_attempt}",
        state=state,
        commit=run.head_sha,
        author=person_of(run.actor.login if run.actor is not None else ""),
        duration_seconds=max(0.0, lasted) if lasted is not None and event.action == "completed" else None,
        log_url=run.html_url,
        time=run.updated_at,
    )


def _deployment_status(event: _DeploymentStatusEvent) -> DeploymentTold | None:
    """A deployment that something else than a workflow of GitHub's made: of that one `workflow_run` tells."""
    told, state = event.deployment, _OF_STATUSES.get(event.deployment_status.state)
    environment = _name(told.environment)
    if environment is None or state is None or event.workflow_run is not None:
        return None
    return DeploymentTold(
        repository=event.repository.full_name,
        environment=environment,
        branch=told.ref if told.ref != told.sha and is_a_branch(told.ref) else None,
        by_workflow=False,
        deployment_id=f"github-{told.id}",
        state=state,
        commit=told.sha,
        author=person_of(told.creator.login if told.creator is not None else ""),
        log_url=event.deployment_status.log_url,
        time=event.deployment_status.created_at,
    )


def _name(text: str) -> str | None:
    try:
        return _NAME.validate_python(text)
    except ValidationError:
        return None
