"""What else stands around the platform: golden paths, the runtime of applications, a cluster, the trace store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from contracts.deployments import DeploymentOutcome, OutputLine, ReleaseOrder, Rollback, SlotView
from contracts.golden_path import GoldenPath
from services.gateway.domain.kubeconfigs import ClusterLogin


class GoldenPaths(Protocol):
    """The golden paths on offer, as they are at this moment."""

    async def all(self) -> list[GoldenPath]:
        """By name."""
        ...

    async def find(self, name: str) -> GoldenPath | None: ...


class NothingToGoBackToError(Exception):
    """The release that was named is not kept. The message says which are."""


class Runtime(Protocol):
    """Where applications run on this machine."""

    async def deploy(self, environment: str, order: ReleaseOrder, release: AsyncIterator[bytes]) -> DeploymentOutcome:
        """Make a release (a gzipped tar archive) live, or leave everything as it was; waits until it is known which.
        The same deployment id is the same deployment. Raises `TooLargeError`."""
        ...

    async def roll_back(self, environment: str, rollback: Rollback) -> DeploymentOutcome:
        """Make a kept release live again. Raises `NothingToGoBackToError`."""
        ...

    async def look(self, environment: str) -> SlotView | None:
        """What runs there; None where nothing can."""
        ...

    def output(self, environment: str, lines: int, *, follow: bool) -> AsyncIterator[OutputLine]:
        """The last lines that the application printed, and with `follow` each one from now on, for ever."""
        ...


class EnvironmentGoneError(Exception):
    """The secret store does not know this life of the environment any more."""


class Clusters(Protocol):
    """Logins for the cluster in which environments have their namespaces."""

    async def login(self, environment: str, incarnation: UUID, namespace: str, person: str) -> ClusterLogin:
        """A login that opens this namespace alone, for an hour at most. Raises `NoClusterError` and
        `EnvironmentGoneError`."""
        ...


@dataclass(frozen=True)
class TraceSpan:
    """One span of a trace; times in microseconds since 1970."""

    id: str
    parent: str | None
    service: str
    operation: str
    begun: int
    lasted: int
    failed: bool


class Traces(Protocol):
    """Where traces are kept."""

    async def spans(self, trace_id: str) -> tuple[TraceSpan, ...]:
        """Every span of a trace that has come in so far, in no order; none where it is not known."""
        ...
