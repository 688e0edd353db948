"""What GitHub tells: believed if it is signed, kept before it is answered, done afterwards, once.

Invariants
- GitHub asks once and waits ten seconds (docs.github.com, "Best practices for using webhooks"), so what counts is kept
  first, and done by whichever replica comes to it; what cannot be done now is done later.
- A delivery id counts once, for longer than GitHub offers to send one again.
- What is told of one pull request, or of one deployment, is done in the order in which it was told.
"""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, NoReturn

import structlog
from pydantic import SecretStr, ValidationError

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from contracts.signals import DeploymentRecorded
from services.gateway.domain.facts import Fact
from services.gateway.domain.forge_events import EVENTS, DeploymentTold, PullAsk, is_a_branch, read
from services.gateway.domain.refusals import RefusalError, UnauthenticatedError, UnavailableError, UnknownThingError
from services.gateway.handlers.previews import Previews
from services.gateway.handlers.telling import Telling
from services.gateway.ports import ForgeEvents, KeptEvent

_log = structlog.get_logger(__name__)

_PREFIX: Final = "sha256="
_SOURCE: Final = "github"
LEASE_SECONDS: Final = 60.0
"""How long a replica that does something may say nothing before another one does it."""
LATER_SECONDS: Final = 2.0
GIVE_UP_AFTER: Final = timedelta(hours=6)
Outcome = Literal["accepted", "repeated", "ignored"]


@dataclass(frozen=True)
class Hearsay:
    """Hears of what happens on GitHub. Without a secret it hears nothing."""

    secret: SecretStr | None
    events: ForgeEvents
    previews: Previews
    telling: Telling
    interval_seconds: float = 1.0
    _something: asyncio.Event = field(default_factory=asyncio.Event)

    def check(self, signature: str | None, body: bytes) -> None:
        """Raise `UnauthenticatedError` where whoever sent these bytes does not have the secret."""
        if self.secret is None:
            raise UnknownThingError("GitHub is not set up to tell anything here.")
        key = self.secret.get_secret_value().encode()
        expected = _PREFIX + hmac.new(key, body, hashlib.sha256).hexdigest()
        if signature is None or not hmac.compare_digest(expected.encode(), signature.encode()):
            raise UnauthenticatedError("Sign the body: `X-Hub-Signature-256: sha256=…`, with the hook's secret.")

    async def hear(self, event: str, delivery: str, payload: Any) -> Outcome:
        """Keep what counts in a delivery that was checked. Raises `InvalidError`."""
        if event not in EVENTS:
            return "ignored"
        pull, told = read(event, payload)
        if pull is not None:
            await self.events.know(pull)
        if told is None:
            return "ignored"
        if isinstance(told, PullAsk) and told.pull is None:
            told = told.model_copy(update={"pull": await self.events.pull(told.repository, told.number)})
        is_new = await self.events.keep(delivery, told)
        self._something.set()
        return "accepted" if is_new else "repeated"

    async def run(self) -> NoReturn:
        """Do what was kept, until cancelled."""
        # Where nothing can be told, nothing has to be looked for.
        interval_seconds = self.interval_seconds if self.secret is not None else None
        while True:
            try:
                while await self.do_next():
                    pass
            except TransientError as error:
                _log.warning("could not look at what was told", error=str(error))
            self._something.clear()
            try:
                async with asyncio.timeout(interval_seconds):
                    await self._something.wait()
            except TimeoutError:
                continue  # time to look again

    async def do_next(self) -> bool:
        """Do the next thing that is due; whether there was any."""
        kept = await self.events.take(LEASE_SECONDS)
        if kept is None:
            return False
        try:
            with tracing.span(f"gateway {kept.told.about} told", attributes={"slipway.delivery": kept.delivery}):
                await self._do(kept)
        except (TransientError, UnavailableError) as error:
            if self.telling.clock.now() - kept.heard_at < GIVE_UP_AFTER:
                await self.events.later(kept.position, LATER_SECONDS)
                return True
            _log.error("gave up what was told", delivery=kept.delivery, error=str(error))
        except (PermanentError, RefusalError, ValidationError) as error:
            _log.error("what was told cannot be done", delivery=kept.delivery, error=type(error).__name__)
        await self.events.done(kept.position)
        return True

    async def _do(self, kept: KeptEvent) -> None:
        if isinstance(kept.told, PullAsk):
            await self.previews.carry_out(kept.told, kept.delivery)
        else:
            await self._record(kept.told)

    async def _record(self, told: DeploymentTold) -> None:
        """Say a deployment, where it is one of an environment of that repository and branch."""
        view = await self.telling.reading.catalog.environment(told.environment)
        if view is None or view.state == "deleted" or view.spec.repository.lower() != told.repository.lower():
            return
        branch = view.pipeline.branch if view.pipeline is not None else view.spec.deployed_branch
        if told.by_workflow and told.branch != branch:
            return
        shown = told.branch if told.branch is not None and is_a_branch(told.branch) else branch
        time = min(told.time, self.telling.clock.now())
        mark = f"{told.deployment_id} {told.state}"
        await self.telling.say(view, Fact(DeploymentRecorded, told.said(shown), time, _SOURCE, mark))
