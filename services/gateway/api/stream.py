"""`/runs/{id}/stream`: a run as it goes on, as Server-Sent Events (WHATWG HTML §9.2).

Invariant: each message's id is the position after it in both sources, so whoever reconnects with `Last-Event-ID` goes
on where they were, at any replica.
"""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Header, Path, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus

from contracts.events import (
    EnvironmentDeletedData,
    EnvironmentFailedData,
    EnvironmentReadyData,
    RunStalled,
    StepFailed,
)
from contracts.queries import RunView
from contracts.values import LeftBehind, Resource
from services.gateway.api import views
from services.gateway.api.answers import API
from services.gateway.api.auth import FOLLOWER
from services.gateway.api.context import Deeds, Gateway
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.domain.refusals import BrokenRule, InvalidError
from services.gateway.handlers.following import News, Position

RECONNECT_MILLISECONDS: Final = 1000
SEND_TIMEOUT_SECONDS: Final = 30
"""A reader that takes nothing for so long is let go; it comes back with its last id."""


async def follow_run(
    run_id: Annotated[str, Path(alias="id", description="The run's id")],
    asker: Asker,
    gateway: Deeds,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Steps and log lines of a run, from the beginning or from `Last-Event-ID`, until its verdict.

    Messages: `step`, `log`, `stalled`, and at the end `verdict`. 204 where the run was over before that id.
    """
    run = await gateway.reading.run(asker, run_id)
    after = Position()
    if last_event_id:
        found = Position.parse(last_event_id)
        if found is None:
            raise InvalidError([BrokenRule("Last-Event-ID", "must be the id of a message of this stream")])
        after = found
    if gateway.following.is_over(run, after):
        return Response(status_code=204)
    gateway.streams.check(asker.subject)
    return EventSourceResponse(
        _messages(gateway, run, after, asker.subject),
        ping=gateway.heartbeat_seconds,
        ping_message_factory=lambda: ServerSentEvent(comment="alive"),
        send_timeout=SEND_TIMEOUT_SECONDS,
        sep="\n",
    )


async def _messages(gateway: Gateway, run: RunView, after: Position, asked_by: str) -> AsyncIterator[ServerSentEvent]:
    # Held from the first message on, so that a reader who is gone before it holds nothing.
    with gateway.streams.hold(asked_by):
        yield ServerSentEvent(retry=RECONNECT_MILLISECONDS, sep="\n")
        async for news in gateway.following.follow(run, after):
            name, data = message(news, run)
            # ASCII only: many readers take U+2028 and U+0085 for the end of a line.
            yield ServerSentEvent(json.dumps(data, separators=(",", ":")), event=name, id=str(news.position), sep="\n")


def end_all() -> None:
    """End every stream of this process within a second, for good: its readers come back to another one."""
    AppStatus.should_exit = True


def message(news: News, run: RunView) -> tuple[str, dict[str, Any]]:
    """The name and the data of the message that tells `news`."""
    if news.line is not None:
        line = news.line
        waiting = line.waiting
        return "log", {
            "step": line.step,
            "time": views.rfc3339(line.time),
            "level": line.level,
            "text": line.text,
            "waiting": {
                "attempt": waiting.attempt,
                "attempts": waiting.attempts,
                "retry_at": views.rfc3339(waiting.retry_at),
            }
            if waiting
            else None,
        }
    event = news.event
    if event is None:
        raise ValueError("news without an event and without a line")
    told = {"sequence": news.sequence, "event": event.kind, "time": views.rfc3339(event.time)}
    if news.is_last:
        return "verdict", {**told, **_verdict(news, run)}
    data = getattr(event, "data", None)
    if isinstance(event, RunStalled):
        return "stalled", {**told, "step": event.data.step, "waiting_seconds": event.data.waiting_seconds}
    failure = views.failure(data.failure) if isinstance(data, StepFailed) else None
    return "step", {
        **told,
        "steps": [{"step": step, "state": state} for step, state in news.changes],
        "failure": failure.model_dump() if failure else None,
    }


def _verdict(news: News, run: RunView) -> dict[str, Any]:
    data = None if news.superseded else getattr(news.event, "data", None)
    failed = news.superseded or isinstance(data, EnvironmentFailedData)
    failure = views.failure(data.failure) if isinstance(data, EnvironmentFailedData) else None
    undone: tuple[Resource, ...] = ()
    left_behind: tuple[LeftBehind, ...] = ()
    kept: tuple[LeftBehind, ...] = ()
    if isinstance(data, EnvironmentFailedData):
        undone, left_behind, kept = data.undone, data.left_behind, data.kept
    elif isinstance(data, EnvironmentDeletedData):
        undone, left_behind, kept = data.removed, data.left_behind, data.kept
    return {
        "event": "superseded" if news.superseded or news.event is None else news.event.kind,
        "state": "failed" if failed else "succeeded",
        "environment": run.environment,
        "url": data.infrastructure.url if isinstance(data, EnvironmentReadyData) else None,
        "duration_seconds": getattr(data, "duration_seconds", None),
        "failure": failure.model_dump() if failure else None,
        "undone": [thing.model_dump() for thing in views.things(undone)],
        "left_behind": [thing.model_dump() for thing in views.things_left(left_behind)],
        "kept": [thing.model_dump() for thing in views.things_left(kept)],
        "trace_id": run.trace_id,
    }


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        f"{API}/runs/{{id}}/stream",
        follow_run,
        FOLLOWER,
        tag="runs",
        options={
            "response_class": EventSourceResponse,
            "responses": {204: {"description": "The run was over before that id; nothing follows"}},
        },
    ),
)
