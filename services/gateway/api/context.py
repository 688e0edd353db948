"""What the routes are given: the gateway's deeds, and where links lead. One object, made by the composition root."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from contracts.golden_path import GoldenPath
from services.gateway.api.cursors import Cursors
from services.gateway.api.limits import Slots
from services.gateway.api.views import Links
from services.gateway.domain.refusals import UnknownThingError
from services.gateway.handlers.applications import Applications
from services.gateway.handlers.asking import Asking
from services.gateway.handlers.dead_letters import DeadLetterDesk
from services.gateway.handlers.deploying import Deploying
from services.gateway.handlers.entering import Entering
from services.gateway.handlers.feedback import Listening
from services.gateway.handlers.following import Following
from services.gateway.handlers.forge_events import Hearsay
from services.gateway.handlers.living import Living
from services.gateway.handlers.machines import Machines
from services.gateway.handlers.maintenance import Maintenance
from services.gateway.handlers.notifying import Notifying
from services.gateway.handlers.planning import Planning
from services.gateway.handlers.reading import Reading
from services.gateway.handlers.remembering import Remembering
from services.gateway.handlers.reviewing import Reviewing
from services.gateway.handlers.rollouts import Rollouts
from services.gateway.handlers.signing_in import SigningIn
from services.gateway.handlers.steering import Steering
from services.gateway.handlers.telling import Telling
from services.gateway.handlers.tokens import Tokens
from services.gateway.handlers.webhooks import Webhooks
from services.gateway.ports import GoldenPaths, Traces


@dataclass(frozen=True)
class Gateway:
    """Everything behind the door."""

    asking: Asking
    applications: Applications
    steering: Steering
    living: Living
    entering: Entering
    planning: Planning
    rollouts: Rollouts
    webhooks: Webhooks
    hearsay: Hearsay
    notifying: Notifying
    reading: Reading
    remembering: Remembering
    reviewing: Reviewing
    telling: Telling
    listening: Listening
    deploying: Deploying
    following: Following
    tokens: Tokens
    machines: Machines
    signing_in: SigningIn
    dead_letters: DeadLetterDesk
    maintenance: Maintenance
    golden_paths: GoldenPaths
    links: Links
    cursors: Cursors
    streams: Slots
    heartbeat_seconds: float
    version: str
    organisation: str
    forge_url: str
    inbox_url: str
    environments_repository: str = "platform/environments"
    traces: Traces | None = None
    """Where the portal finds the spans of a run; None where no trace store is named."""

    async def golden_path(self, name: str) -> GoldenPath:
        """The golden path of this name. Raises `UnknownThingError`."""
        path = await self.golden_paths.find(name)
        if path is None:
            raise UnknownThingError("There is no such golden path. GET /api/v1/golden-paths lists them.")
        return path


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


Deeds = Annotated[Gateway, Depends(_gateway)]
"""What a route may do."""
