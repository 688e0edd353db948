"""What would happen: a plan of an environment, made by the provisioner with Terraform before anything does."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints

from contracts.envelope import Value
from contracts.queries import Query
from contracts.values import EnvironmentSpec, Resource, Text


class PlannedChange(Value):
    """What would happen to one resource. `replace` destroys it, and its data, and creates it anew."""

    action: Literal["create", "update", "replace", "destroy"]
    resource: Resource
    detail: Text = ""
    """Which attributes differ, for a person; no values of secrets."""


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
