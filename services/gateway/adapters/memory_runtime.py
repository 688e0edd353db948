"""The twins of the runtime and of whoever issues workflows' tokens, for tests and rehearsals."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from pydantic import SecretStr

from chassis.clock import Clock
from contracts.deployments import DeploymentOutcome, OutputLine, ReleaseOrder, ReleaseView, Rollback, SlotView
from services.gateway.ports import NothingToGoBackToError, WorkflowRefusedError

_KEPT = 3


@dataclass
class _Place:
    releases: list[ReleaseView] = field(default_factory=list)
    """Those that were live, the latest first."""
    outcomes: list[DeploymentOutcome] = field(default_factory=list)
    lines: list[OutputLine] = field(default_factory=list)


@dataclass
class MemoryRuntime:
    """Twin of `ports.Runtime`. A release whose bytes are among `broken` does not come up."""

    clock: Clock
    incarnation: UUID
    broken: tuple[bytes, ...] = (b"broken",)
    places: dict[str, _Place] = field(default_factory=lambda: defaultdict(_Place))
    orders: list[ReleaseOrder] = field(default_factory=list)
    """Everything that was to be run, and how."""

    async def deploy(self, environment: str, order: ReleaseOrder, release: AsyncIterator[bytes]) -> DeploymentOutcome:
        """See the port."""
        content = b"".join([chunk async for chunk in release])
        self.orders.append(order)
        place = self.places[environment]
        known = next((one for one in place.outcomes if one.deployment_id == order.deployment_id), None)
        if known is not None:
            return known
        view = ReleaseView(
            **order.model_dump(exclude={"runtime", "with_database"}),
            received_at=self.clock.now(),
            sha256=sha256(content).hexdigest(),
            size_bytes=len(content),
        )
        return self._put(environment, view, order.deployment_id, order.author, broken=content in self.broken)

    async def roll_back(self, environment: str, rollback: Rollback) -> DeploymentOutcome:
        """See the port."""
        place = self.places[environment]
        known = next((one for one in place.outcomes if one.deployment_id == rollback.deployment_id), None)
        if known is not None:
            return known
        wanted = rollback.to
        found = [
            one
            for one in place.releases
            if (wanted is None and one is not place.releases[0])
            or (wanted is not None and (one.deployment_id == wanted or one.commit.startswith(wanted)))
        ]
        if not found:
            raise NothingToGoBackToError("There is no such release to go back to.")
        return self._put(environment, found[0], rollback.deployment_id, rollback.author, broken=False)

    def _put(
        self, environment: str, view: ReleaseView, deployment_id: str, author: str, *, broken: bool
    ) -> DeploymentOutcome:
        place = self.places[environment]
        outcome = DeploymentOutcome(
            deployment_id=deployment_id,
            release_id=view.deployment_id,
            state="failed" if broken else "succeeded",
            commit=view.commit,
            branch=view.branch,
            author=author,
            at=self.clock.now(),
            duration_seconds=timedelta(seconds=1).total_seconds(),
            previous=place.releases[0].commit if place.releases else None,
            code="crashed" if broken else "",
            reason="the release ends as soon as it is started" if broken else "",
            lines=("it is broken",) if broken else (),
        )
        place.outcomes.insert(0, outcome)
        if not broken:
            others = [one for one in place.releases if one.deployment_id != view.deployment_id]
            place.releases = [view, *others][:_KEPT]
        line = OutputLine(
            time=self.clock.now(), release=view.commit[:8], stream="run", text=f"starting {deployment_id}"
        )
        place.lines.append(line)
        return outcome

    async def look(self, environment: str) -> SlotView | None:
        """See the port."""
        place = self.places.get(environment)
        if place is None:
            return None
        return SlotView(
            environment=environment,
            incarnation=self.incarnation,
            state="healthy" if place.releases else "unknown",
            since=self.clock.now(),
            live=place.releases[0] if place.releases else None,
            releases=tuple(sorted(place.releases, key=lambda one: one.received_at, reverse=True)),
            deployments=tuple(place.outcomes),
        )

    async def output(self, environment: str, lines: int, *, follow: bool) -> AsyncIterator[OutputLine]:
        """See the port."""
        place = self.places.get(environment, _Place())
        for line in place.lines[-lines:] if lines else []:
            yield line
        if follow:
            await asyncio.Event().wait()


@dataclass
class MemoryWorkflowTokens:
    """Twin of `ports.WorkflowTokens`: tokens that it was told of."""

    known: dict[str, Mapping[str, object]] = field(default_factory=dict)

    async def claims(self, token: SecretStr) -> Mapping[str, object]:
        """See the port."""
        found = self.known.get(token.get_secret_value())
        if found is None:
            raise WorkflowRefusedError("nobody issued it")
        return found
