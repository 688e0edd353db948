"""`/environments/{name}/deployments`, `:rollback`, `/logs` and `/webhooks/runtime`: what runs, and making another
version of it live."""

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from sse_starlette import EventSourceResponse, ServerSentEvent

from contracts.deployments import (
    MAX_RELEASE_BYTES,
    DeploymentOutcome,
    HealthReport,
    OutputLine,
    ReleaseNote,
    SlotView,
)
from contracts.envelope import Timestamp
from services.gateway.api import limits
from services.gateway.api.answers import API
from services.gateway.api.auth import DEVELOPER, SIGNED, VIEWER, Policy
from services.gateway.api.context import Deeds, Gateway
from services.gateway.api.environments import Name
from services.gateway.api.release_form import ReleaseForm
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import BrokenRule, InvalidError, UnauthenticatedError

REPORT_BYTES: Final = 16 * 1024
SEND_TIMEOUT_SECONDS: Final = 30
_BEARER: Final = re.compile(r"[Bb]earer ([\x21-\x7e]{1,16000})")
_READER: Final = Policy("developer", traced=False)


class ReleaseAnswer(BaseModel):
    """A deployment that is live."""

    deployment_id: str
    state: str
    url: str | None
    commit: str
    duration_seconds: float
    previous: str | None = Field(description="The commit that was live before")


class PastDeployment(BaseModel):
    """What became of one deployment."""

    deployment_id: str
    release_id: str = Field(description="The deployment that handed the release over; another one after a rollback")
    state: str
    live: bool
    commit: str
    branch: str
    author: str
    at: Timestamp
    duration_seconds: float
    reason: str


class KeptRelease(BaseModel):
    """A release that can be gone back to."""

    deployment_id: str
    commit: str
    branch: str
    author: str
    received_at: Timestamp
    log_url: str | None
    live: bool


class CopyAnswer(BaseModel):
    """One process of the application."""

    state: str
    reason: str
    restarts: int
    since: Timestamp


class DeploymentsAnswer(BaseModel):
    """What runs in an environment, and how it came about."""

    running: str = Field(description="healthy, degraded, down or unknown")
    reason: str
    since: Timestamp | None
    copies: list[CopyAnswer]
    releases: list[KeptRelease]
    items: list[PastDeployment] = Field(description="The latest deployments, the newest first")


class GoBack(BaseModel):
    """Which release to make live again."""

    model_config = ConfigDict(extra="forbid")

    to: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="A commit (seven digits will do) or a deployment's id; by default what was live before",
    )


class OutputAnswer(BaseModel):
    """The last lines that an application printed, the oldest first."""

    items: list[OutputLine]


class ReportHeard(BaseModel):
    """Whether the report concerned anybody."""

    told: bool


async def deploy(name: Name, request: Request, gateway: Deeds) -> ReleaseAnswer:
    """Hand over a release and wait until it is live. Shown instead of an API token: the OpenID Connect token of the
    environment's own workflow, for the audience `slipway`. A release that does not come up is not live: then this
    answers the problem `deployment_failed` with its last lines, and what was live before still is."""
    deployer = await gateway.deploying.identify(_token(request), name)
    if deployer.principal is not None:
        request.state.principal = deployer.principal
    form = ReleaseForm(request)
    note = await form.note()
    return _answer(await gateway.deploying.deploy(deployer, note, form.release()), deployer.view.infrastructure)


async def roll_back(
    *, name: Name, body: GoBack | None = None, asker: Asker, key: IdempotencyKey, gateway: Deeds
) -> ReleaseAnswer:
    """Make an earlier release live again, without building anything."""
    outcome = await gateway.deploying.roll_back(asker, name, body.to if body is not None else None, key)
    view = await gateway.reading.environment(asker, name)
    return _answer(outcome, view.infrastructure)


async def list_deployments(name: Name, asker: Asker, gateway: Deeds) -> DeploymentsAnswer:
    """What runs there, which releases can be gone back to, and what became of the latest deployments."""
    slot = await gateway.deploying.slot(asker, name)
    if slot is None:
        return DeploymentsAnswer(running="unknown", reason="", since=None, copies=[], releases=[], items=[])
    return _shown(slot)


async def read_output(
    *,
    name: Name,
    asker: Asker,
    gateway: Deeds,
    lines: Annotated[int, Query(ge=0, le=5000, description="How many of the last lines")] = 100,
    follow: Annotated[bool, Query(description="Go on with each line as it comes, as Server-Sent Events")] = False,
) -> Any:
    """What the application printed. With `follow` a stream of messages `line`, each an object as in `items`."""
    if not follow:
        found = await gateway.deploying.output(asker, name, lines)
        return OutputAnswer(items=[line async for line in found])
    gateway.streams.check(asker.subject)
    following = await gateway.deploying.output(asker, name, lines, follow=True)
    return EventSourceResponse(
        _messages(gateway, asker, following),
        ping=gateway.heartbeat_seconds,
        ping_message_factory=lambda: ServerSentEvent(comment="alive"),
        send_timeout=SEND_TIMEOUT_SECONDS,
        sep="\n",
    )


async def hear_runtime(
    request: Request,
    gateway: Deeds,
    x_slipway_signature_256: Annotated[str | None, Header()] = None,
) -> ReportHeard:
    """How an application does, as the local runtime tells it."""
    body = await limits.read(request.stream(), request.headers.get("content-length"), REPORT_BYTES)
    gateway.deploying.check(x_slipway_signature_256, body)
    try:
        report = HealthReport.model_validate(limits.parse_json(body, REPORT_BYTES))
    except ValidationError as error:
        raise InvalidError([BrokenRule("body", "must be a report of the runtime")]) from error
    return ReportHeard(told=await gateway.deploying.hear(report))


async def _messages(
    gateway: Gateway, asker: Principal, following: AsyncIterator[OutputLine]
) -> AsyncIterator[ServerSentEvent]:
    with gateway.streams.hold(asker.subject):
        async for line in following:
            # ASCII only: many readers take U+2028 and U+0085 for the end of a line.
            yield ServerSentEvent(json.dumps(line.model_dump(mode="json")), event="line", sep="\n")


def _token(request: Request) -> SecretStr:
    shown = request.headers.getlist("authorization")
    found = _BEARER.fullmatch(shown[0]) if len(shown) == 1 else None
    if found is None:
        raise UnauthenticatedError("Show a workflow's token or an API token: `Authorization: Bearer …`.")
    return SecretStr(found[1])


def _answer(outcome: DeploymentOutcome, infrastructure: Any) -> ReleaseAnswer:
    return ReleaseAnswer(
        deployment_id=outcome.deployment_id,
        state=outcome.state,
        url=infrastructure.url if infrastructure is not None else None,
        commit=outcome.commit,
        duration_seconds=outcome.duration_seconds,
        previous=outcome.previous,
    )


def _shown(slot: SlotView) -> DeploymentsAnswer:
    live = slot.live.deployment_id if slot.live is not None else None
    current = next((one for one in slot.deployments if one.state == "succeeded" and one.release_id == live), None)
    return DeploymentsAnswer(
        running=slot.state,
        reason=slot.reason,
        since=slot.since,
        copies=[CopyAnswer.model_validate(copy.model_dump()) for copy in slot.copies],
        releases=[
            KeptRelease.model_validate({**one.model_dump(mode="json"), "live": one.deployment_id == live})
            for one in slot.releases
        ],
        items=[
            PastDeployment.model_validate({**one.model_dump(mode="json"), "live": one is current})
            for one in slot.deployments
        ],
    )


_ONE: Final = f"{API}/environments/{{name}}"
_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["deployment", "release"],
                    "properties": {
                        "deployment": ReleaseNote.model_json_schema(),
                        "release": {
                            "type": "string",
                            "contentMediaType": "application/gzip",
                            "description": f"A gzipped tar archive, {MAX_RELEASE_BYTES >> 20} MiB at most",
                        },
                    },
                },
                "encoding": {
                    "deployment": {"contentType": "application/json"},
                    "release": {"contentType": "application/gzip"},
                },
            }
        },
    },
    "security": [{"token": []}],
}
ENDPOINTS: Final = (
    # The route itself looks at who asks: workflows have tokens that are not ours.
    Endpoint(
        "POST",
        f"{_ONE}/deployments",
        deploy,
        SIGNED,
        200,
        ReleaseAnswer,
        "deployments",
        options={"openapi_extra": _FORM},
    ),
    Endpoint("GET", f"{_ONE}/deployments", list_deployments, VIEWER, 200, DeploymentsAnswer, "deployments"),
    Endpoint("POST", f"{_ONE}:rollback", roll_back, DEVELOPER, 200, ReleaseAnswer, "deployments"),
    Endpoint(
        "GET",
        f"{_ONE}/logs",
        read_output,
        _READER,
        200,
        OutputAnswer,
        "deployments",
        options={"responses": {200: {"content": {"text/event-stream": {}}}}},
    ),
    # For the runtime alone, so the description does not offer it.
    Endpoint("POST", f"{API}/webhooks/runtime", hear_runtime, SIGNED, 200, ReportHeard, "webhooks", in_schema=False),
)
