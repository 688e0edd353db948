"""`/github/events`: GitHub tells of pull requests, comments, workflow runs and deployments. No token: the body is
signed."""

from typing import Annotated, Final

from fastapi import Header, Request
from pydantic import BaseModel

from services.gateway.api import limits
from services.gateway.api.answers import API
from services.gateway.api.auth import SIGNED
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Endpoint
from services.gateway.domain.refusals import BrokenRule, InvalidError
from services.gateway.handlers.forge_events import Outcome

BODY_BYTES: Final = 1024 * 1024
_DELIVERY: Final = r"^[A-Za-z0-9-]{1,100}$"


class EventHeard(BaseModel):
    """What became of a delivery: it will be done, it was heard before, or nothing follows from it."""

    outcome: Outcome


async def hear_github(
    request: Request,
    gateway: Deeds,
    x_hub_signature_256: Annotated[str | None, Header()] = None,
    x_github_event: Annotated[str, Header(pattern=r"^[a-z_]{1,60}$")] = "",
    x_github_delivery: Annotated[str, Header(pattern=_DELIVERY)] = "",
) -> EventHeard:
    """A delivery of a webhook of GitHub's (`application/json`). It is answered once it is kept."""
    body = await limits.read(request.stream(), request.headers.get("content-length"), BODY_BYTES)
    gateway.hearsay.check(x_hub_signature_256, body)
    if not x_github_event or not x_github_delivery:
        raise InvalidError([BrokenRule("X-GitHub-Delivery", "and X-GitHub-Event are required")])
    payload = limits.parse_json(body, BODY_BYTES)
    return EventHeard(outcome=await gateway.hearsay.hear(x_github_event, x_github_delivery, payload))


ENDPOINTS: Final = (
    # For GitHub alone, so the description does not offer it.
    Endpoint("POST", f"{API}/github/events", hear_github, SIGNED, 202, EventHeard, "webhooks", in_schema=False),
)
