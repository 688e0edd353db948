"""Telling facts about environments: other systems say them here, and they go on the bus.

Invariant: a fact's id follows from the environment's present life, its kind and what it says, so telling it again, by
whomever and however often, is telling it once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast
from uuid import UUID

import structlog

from chassis import tracing
from chassis.clock import Clock
from contracts.queries import EnvironmentView
from contracts.signals import Deployment, PreviewNote, PreviewNoted, Signal
from contracts.values import PullRequest
from services.gateway.domain.facts import Alerts, Fact, TellFact, fact_of, fact_of_alert
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import ForbiddenError, UnknownThingError
from services.gateway.handlers.reading import Reading
from services.gateway.ports import Signals

_log = structlog.get_logger(__name__)

_SOURCE: Final = "gateway"
_ENDS: Final[Mapping[str, Literal["deployed", "not_deployed"]]] = {"succeeded": "deployed", "failed": "not_deployed"}
AlertOutcome = Literal["told", "ignored", "refused"]


@dataclass(frozen=True)
class Consequence:
    """What became of an alert."""

    environment: str | None
    outcome: AlertOutcome
    detail: str = ""


@dataclass(frozen=True)
class Telling:
    """Says facts."""

    reading: Reading
    signals: Signals
    derive: Callable[[UUID | str, str], UUID]
    """The id that follows from a text and a kind."""
    clock: Clock

    async def tell(self, principal: Principal, name: str, told: TellFact, key: str | None) -> Signal:
        """Say a fact about an environment in which the principal is a developer. Raises `UnknownThingError`,
        `ForbiddenError` and `InvalidError`."""
        view = await self._living(principal, name)
        return await self.say(view, fact_of(told, self.clock.now(), key))

    async def hear_alerts(self, principal: Principal, alerts: Alerts) -> Sequence[Consequence]:
        """Say what alerts mean for the environments that they are labelled with."""
        return [await self._hear(principal, alert.environment, fact_of_alert(alert, self.clock.now()))
                for alert in alerts.alerts]  # fmt: skip

    async def _hear(self, principal: Principal, name: str | None, fact: Fact) -> Consequence:
        if name is None:
            return Consequence(None, "ignored", "It has no label `environment`.")
        try:
            view = await self._living(principal, name)
        except UnknownThingError:
            return Consequence(name, "ignored", "There is no such environment.")
        except ForbiddenError as error:
            return Consequence(name, "refused", error.detail)
        await self.say(view, fact)
        return Consequence(name, "told")

    async def _living(self, principal: Principal, name: str) -> EnvironmentView:
        view = await self.reading.environment(principal, name)
        principal.require_in(view, "developer")
        return view

    async def say(self, view: EnvironmentView, fact: Fact) -> Signal:
        """Say a fact of an environment that was looked up and may be told of."""
        kind = fact.kind
        signal = kind.model_validate(
            {
                "id": self.derive(f"{view.incarnation} {fact.mark}", kind.kind),
                "source": fact.source,
                "type": cast("str", kind.model_fields["type"].default),
                "subject": view.name,
                "time": fact.time,
                "traceparent": tracing.traceparent(),
                "data": fact.data,
            }
        )
        await self.signals.say(signal)
        if isinstance(fact.data, Deployment) and view.spec.pull_request is not None:
            await self._note(view, view.spec.pull_request, fact.data, fact)
        _log.info("a fact was told", environment=view.name, kind=kind.kind, source=fact.source)
        return signal

    async def _note(self, view: EnvironmentView, pull: PullRequest, told: Deployment, fact: Fact) -> None:
        """Let those who read the pull request know what came of a deployment to its preview."""
        what = _ENDS.get(told.state)
        if what is None:
            return
        note = PreviewNote(
            repository=view.spec.repository, number=pull.number, what=what, commit=told.commit, log_url=told.log_url
        )
        await self.signals.say(
            PreviewNoted(
                id=self.derive(f"{view.incarnation} {fact.mark}", PreviewNoted.kind),
                source=_SOURCE,
                subject=view.name,
                time=fact.time,
                traceparent=tracing.traceparent(),
                data=note,
            )
        )
