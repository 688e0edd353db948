"""`/webhooks/forge`: the forge tells of pushes (GitHub's webhooks). No token: the body is signed."""

from typing import Annotated, Final

from fastapi import Header, Request
from pydantic import BaseModel

from services.gateway.api import limits
from services.gateway.api.answers import API
from services.gateway.api.auth import SIGNED
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Endpoint
from services.gateway.domain.refusals import BrokenRule, InvalidError
from services.gateway.handlers.webhooks import Outcome

BODY_BYTES: Final = 256 * 1024
_DELIVERY: Final = r"^[A-Za-z0-9-]{1,100}$"


class ConsequenceAnswer(BaseModel):
    """What a push came to for one environment."""

    environment: str
    outcome: Outcome
    detail: str
    run_id: str | None


class Heard(BaseModel):
    """What became of a delivery; nothing where it was heard before, or says nothing that counts."""

    items: list[ConsequenceAnswer]


async def hear_forge(
    request: Request,
    gateway: Deeds,
    x_hub_signature_256: Annotated[str | None, Header()] = None,
    x_github_event: Annotated[str, Header(pattern=r"^[a-z_]{1,60}$")] = "",
    x_github_delivery: Annotated[str, Header(pattern=_DELIVERY)] = "",
) -> Heard:
    """A delivery of the forge. A push by a person to the environments repository changes the environments whose
    manifests it changed."""
    body = await limits.read(request.stream(), request.headers.get("content-length"), BODY_BYTES)
    gateway.webhooks.check(x_hub_signature_256, body)
    if not x_github_event or not x_github_delivery:
        raise InvalidError([BrokenRule("X-GitHub-Delivery", "and X-GitHub-Event are required")])
    payload = limits.parse_json(body, BODY_BYTES)
    found = await gateway.webhooks.hear(x_github_event, x_github_delivery, payload)
    return Heard(
        items=[
            ConsequenceAnswer(environment=one.environment, outcome=one.outcome, detail=one.detail, run_id=one.run_id)
            for one in found
        ]
    )


ENDPOINTS: Final = (
    # For the forge alone, so the description does not offer it.
    Endpoint("POST", f"{API}/webhooks/forge", hear_forge, SIGNED, 200, Heard, "webhooks", in_schema=False),
)
