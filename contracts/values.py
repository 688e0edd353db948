"""The things events speak of: what was asked for, what was made, what was taken away again.

Each value is filled by one service and carried on by the next ones, so that any event of a run tells everything that
was known when it was said.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from contracts.envelope import Carried, Timestamp, Value
from contracts.names import (
    BranchName,
    EnvironmentName,
    GoldenPathName,
    PersonName,
    RepositoryName,
    RepositoryPath,
    SemanticVersion,
    TeamName,
)
from contracts.runtime import Runtime

Kind = Literal["preview", "staging", "production"]
Step = Literal["infrastructure", "secrets", "pipeline"]
Text = Annotated[str, StringConstraints(max_length=2000)]
CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""ISO 4217."""


class Owner(Value):
    """Who answers for an environment: a person and the team they asked for."""

    person: PersonName
    team: TeamName


class PullRequest(Value):
    """The pull request that a preview is of."""

    number: int = Field(ge=1, le=2**31 - 1)
    approved_commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40,64}$")] | None = None
    """For one from a fork: the only commit that a member agreed to have here. None: whatever is its newest."""


class EnvironmentSpec(Carried):
    """The desired state, complete: every default of the golden path is filled in."""

    name: EnvironmentName
    kind: Kind
    golden_path: GoldenPathName
    golden_path_version: SemanticVersion
    owner: Owner
    repository: RepositoryName
    branch: BranchName
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    expires_at: Timestamp | None = None
    depends_on: Annotated[tuple[EnvironmentName, ...], Field(max_length=50)] | None = None
    """Other environments that it calls; None where it calls none."""
    path: RepositoryPath | None = None
    """The directory of the repository that the application is in, one of several there; None where it is all of it."""
    runtime: Runtime | None = None
    """How the application is run, by the golden path's version above; None in what was asked for before this was
    said."""
    pull_request: PullRequest | None = None
    """Of which pull request of the repository it is a preview; None where it is of none."""

    @property
    def deployed_branch(self) -> str:
        """The branch whose pushes are deployed: that of a pull request is left alone, so its preview has one of its
        own."""
        return f"slipway/{self.name}" if self.pull_request is not None else self.branch


class HourlyPrice(Value):
    """What an environment costs while it exists, by the prices of its golden path at the time it was asked for."""

    currency: CurrencyCode
    per_hour: Decimal = Field(ge=0, max_digits=20, allow_inf_nan=False)


class Resource(Value):
    """One thing that exists because of an environment."""

    kind: str
    """What it is in the platform's words: `database`, `dns_record`, `route`, `namespace`, `repository`, `secret`, …"""
    id: str
    """Its address where it lives, for instance `apps/env_demo_api` or `acme/demo-api`."""


class LeftBehind(Value):
    """A thing that an undo did not remove, and why."""

    resource: Resource
    reason: Text


class Receipt(Value):
    """What an undo did."""

    removed: tuple[Resource, ...] = ()
    restored: tuple[Resource, ...] = ()
    """What the road back of an update put back to how it was before the run."""
    left_behind: tuple[LeftBehind, ...] = ()
    """What should be gone and is not: somebody has to look at it."""
    kept: tuple[LeftBehind, ...] = ()
    """What stays on purpose, for instance a repository that holds people's work: nobody has to do anything."""


class Database(Value):
    """Where an environment's data lives. No credential: those are leased from OpenBao."""

    host: str
    port: int
    database: str
    schema_name: str
    owner_role: str
    master_secret: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Where the first login of an instance that this environment has to itself is kept: an ARN of AWS Secrets Manager.
    None for a schema in the shared instance."""


class Infrastructure(Carried):
    """What Terraform made."""

    url: str | None = None
    hostname: str | None = None
    namespace: str
    database: Database | None = None
    resources: tuple[Resource, ...]
    commit: str
    """Commit of the environments repository that was applied."""


class Secrets(Carried):
    """Where secrets are, never what they are."""

    kv_path: str
    kv_version: int
    names: tuple[str, ...]
    database_role: str | None = None
    """Role of OpenBao's database engine that leases credentials (`database/creds/<role>`)."""
    policy: str
    workload_role: str
    access_group: str
    """The `env:<name>:developer` grant."""
    resources: tuple[Resource, ...] = ()
    """Everything that exists in OpenBao because of the environment."""


class Pipeline(Carried):
    """The repository and the workflow in it."""

    repository: RepositoryName
    repository_id: int
    html_url: str
    clone_url: str
    branch: BranchName
    workflow_path: str
    commit: str
    origin: Literal["created", "attached"]
    pull_request_url: str | None = None


class Failure(Value):
    """Why a step ended for good, in words for the person who asked."""

    step: Step
    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    """What kind of failure, stable, for programs."""
    message: Text
    """What happened and why; no secret, no stack trace."""
    next_step: Text
    """What the person can do about it."""
    attempts: int = 1
