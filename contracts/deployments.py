"""What is said of an application that runs: releases, deployments, and how the application does. The gateway and the
runtime that runs it speak in these words (HTTP, JSON both ways); `contracts.signals` tells everybody else.

A *release* is what one build handed over. A *deployment* is one attempt to make a release live: a push or a rollback.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AnyHttpUrl, Field, StringConstraints

from contracts.envelope import Timestamp, Value
from contracts.names import BranchName, EnvironmentName, PersonName
from contracts.runtime import Runtime
from contracts.signals import Commit

DEPLOYMENT_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
DeploymentId = Annotated[str, StringConstraints(pattern=DEPLOYMENT_ID_PATTERN)]
"""Chosen by whoever deploys; the same id is the same deployment."""
RunningState = Literal["healthy", "degraded", "down", "unknown"]
RELEASE_HEADER = "Slipway-Release"
"""Carries a `ReleaseOrder` as ASCII JSON beside the release itself, a gzipped tar archive."""
MAX_RELEASE_BYTES = 200 * 1024 * 1024
"""The most a release may have on its way."""


class ReleaseNote(Value):
    """What a pipeline says of the build that it hands over."""

    deployment_id: DeploymentId
    commit: Commit
    branch: BranchName
    author: PersonName
    log_url: AnyHttpUrl | None = None


class ReleaseOrder(ReleaseNote):
    """The note, and what the platform knows of how such an application runs."""

    runtime: Runtime
    with_database: bool = False
    """Whether the application gets logins to a database."""


class ReleaseView(ReleaseNote):
    """A release that is kept."""

    received_at: Timestamp
    sha256: str
    size_bytes: int


class DeploymentOutcome(Value):
    """What came of one deployment."""

    deployment_id: DeploymentId
    release_id: DeploymentId
    """The deployment that handed the release over; another one after a rollback."""
    state: Literal["succeeded", "failed"]
    commit: Commit
    branch: BranchName
    author: PersonName
    at: Timestamp
    duration_seconds: float = Field(ge=0)
    previous: Commit | None = None
    """What was live before."""
    code: str = ""
    """Why it failed, stable, for programs: `superseded`, `unusable_release`, `not_healthy`, `crashed`, ..."""
    reason: str = ""
    """Why it failed, in words."""
    lines: tuple[str, ...] = ()
    """The last lines that a failed release printed."""


class CopyView(Value):
    """One process of an application."""

    state: RunningState
    reason: str = ""
    pid: int | None = None
    port: int | None = None
    restarts: int = 0
    since: Timestamp


class SlotView(Value):
    """An environment's place in the runtime and what runs there."""

    environment: EnvironmentName
    incarnation: UUID
    state: RunningState = "unknown"
    reason: str = ""
    since: Timestamp
    live: ReleaseView | None = None
    releases: tuple[ReleaseView, ...] = ()
    """What can be gone back to, the newest first; the live one is among them."""
    copies: tuple[CopyView, ...] = ()
    deployments: tuple[DeploymentOutcome, ...] = ()
    """The latest ones, the newest first."""


class Rollback(Value):
    """Which release to go back to: a commit (seven digits will do), a deployment's id, or None for the one before."""

    deployment_id: DeploymentId
    author: PersonName
    to: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None


class HealthReport(Value):
    """How an application does, since when."""

    delivery: UUID
    environment: EnvironmentName
    incarnation: UUID
    state: RunningState
    reason: str = ""
    time: Timestamp
    went_back: DeploymentOutcome | None = None
    """The rollback that the runtime has done by itself, because a new release kept ending."""


class OutputLine(Value):
    """A line that an application printed."""

    time: Timestamp
    release: str
    """The first digits of its commit."""
    stream: Literal["out", "err", "run"]
    """`run`: said by the runtime about the application."""
    text: str
