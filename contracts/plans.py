"""What would happen, and what is wanted: questions that the provisioner answers from Terraform and from Git, changing
nothing."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import StringConstraints

from contracts.envelope import Value
from contracts.names import EnvironmentName
from contracts.queries import Query
from contracts.values import EnvironmentSpec, Resource, Text

DATA_KINDS: Final = frozenset({"database", "aws_db_instance", "aws_rds_cluster", "aws_s3_bucket"})
"""Kinds of resources that hold what nobody could make again."""


class PlannedChange(Value):
    """What would happen to one resource. `replace` destroys it, and its data, and creates it anew."""

    action: Literal["create", "update", "replace", "destroy"]
    resource: Resource
    detail: Text = ""
    """Which attributes differ, for a person; no values of secrets."""

    @property
    def loses_data(self) -> bool:
        """Whether it destroys what nobody could make again."""
        return self.action in {"replace", "destroy"} and self.resource.kind in DATA_KINDS


class Plan(Value):
    """Every change that applying a desired state would make; empty where there is nothing to do."""

    changes: tuple[PlannedChange, ...]
    commit: str | None = None
    """The environment's commit that the plan was made against; None where there is none yet."""
    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Over the desired state, the commit and the changes: another hash means that the world has moved."""


class PlanEnvironment(Query[Plan]):
    """Plan `spec` against what exists, changing nothing. For what already exists `incarnation` is its own."""

    name = "plan"
    service = "provisioner"
    spec: EnvironmentSpec
    incarnation: UUID | None = None


class CommittedState(Value):
    """What the environments repository says that an environment shall be."""

    spec: EnvironmentSpec | None = None
    """None where the repository has no such directory, or has one whose manifest is refused."""
    incarnation: UUID | None = None
    """Whose directory it is. The platform writes it; a person who changes it changes nothing."""
    commit: str | None = None
    """The last commit that changed the directory, up to the one asked for."""
    refused: Text = ""
    """Why the manifest cannot be taken for a desired state, for whoever pushed it; values are not repeated."""


class DesiredState(Query[CommittedState]):
    """Read an environment's manifest back from the environments repository."""

    name = "desired_state"
    service = "provisioner"
    environment: EnvironmentName
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = None
    """As of this commit of the branch that counts; None means the newest. Any other commit is not known."""
