"""`/environments/{name}` at a moment of its past, and what changed between two."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, JsonValue

from contracts.envelope import Timestamp
from services.gateway.api.answers import API, EnvironmentAnswer, RunAnswer
from services.gateway.api.auth import VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.environments import Name, shown
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.api.views import run as shown_run

At = Annotated[AwareDatetime, Query(description="A time with its offset (RFC 3339)")]


class MomentAnswer(BaseModel):
    """An environment as it was, and its latest run as far as that had come."""

    at: Timestamp
    environment: EnvironmentAnswer
    run: RunAnswer | None
    events: int
    """How many events its name had had."""


class ChangeAnswer(BaseModel):
    """One field that is another than before, dotted: `infrastructure.commit`."""

    field: str
    before: JsonValue
    after: JsonValue


class DifferenceAnswer(BaseModel):
    """What changed after `since`, up to and including `until`."""

    since: Timestamp
    until: Timestamp
    changes: list[ChangeAnswer]


async def get_moment(name: Name, at: At, asker: Asker, gateway: Deeds) -> MomentAnswer:
    """An environment as the log had it at a time."""
    found = await gateway.remembering.moment(asker, name, at)
    assert found.environment is not None  # noqa: S101 - the deed has refused otherwise
    return MomentAnswer(
        at=at,
        environment=await shown(found.environment, asker, gateway),
        run=shown_run(found.run, gateway.links) if found.run else None,
        events=found.events,
    )


async def get_changes(
    *, name: Name, asker: Asker, gateway: Deeds, since: At, until: Annotated[AwareDatetime | None, Query()] = None
) -> DifferenceAnswer:
    """What changed in an environment between two moments; `until` is now where it is left out."""
    end = until or datetime.now(UTC)
    found = await gateway.remembering.difference(asker, name, since, end)
    return DifferenceAnswer(
        since=since,
        until=end,
        changes=[ChangeAnswer(field=one.field, before=one.before, after=one.after) for one in found.changes],
    )


_ONE = f"{API}/environments/{{name}}"
ENDPOINTS: Final = (
    Endpoint("GET", f"{_ONE}/moment", get_moment, VIEWER, 200, MomentAnswer, "environments"),
    Endpoint("GET", f"{_ONE}/changes", get_changes, VIEWER, 200, DifferenceAnswer, "environments"),
)
