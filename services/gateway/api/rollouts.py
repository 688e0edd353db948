"""`/rollouts`: bringing everything that was made from a golden path to the version on offer. For the platform team."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Path, Query, Response
from pydantic import BaseModel

from contracts.envelope import Timestamp
from contracts.values import Kind
from services.gateway.api.answers import API, Thing
from services.gateway.api.auth import ADMIN
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.api.views import things
from services.gateway.domain.rollouts import Foreseen, Member, MemberState, Phase, Rollout, StartRollout, Status

RolloutId = Annotated[UUID, Path(alias="id", description="The rollout's id")]


class RehearsalAnswer(BaseModel):
    """What the upgrade of one environment would do to its infrastructure."""

    outcome: Foreseen
    counts: dict[str, int]
    lost: list[Thing]
    """What would lose its data."""
    reason: str


class MemberAnswer(BaseModel):
    """One environment of a rollout."""

    environment: str
    team: str
    kind: Kind
    version_before: str
    state: MemberState
    rehearsal: RehearsalAnswer | None
    batch: int | None
    """0 for canaries."""
    run_id: UUID | None
    reason: str
    begun_at: Timestamp | None
    ended_at: Timestamp | None


class RolloutSummary(BaseModel):
    """A rollout, and how many of its environments stand how."""

    id: UUID
    golden_path: str
    version: str
    status: Status
    phase: Phase
    reason: str
    """Why it is paused, was stopped or cancelled."""
    requested_by: str
    requested_at: Timestamp
    ended_at: Timestamp | None
    kinds: list[Kind] | None
    canaries: int
    batch_size: int
    include_replacing: bool
    rehearse_only: bool
    counts: dict[MemberState, int]
    rehearsal: dict[Foreseen, int]
    links: dict[str, str]


class RolloutAnswer(RolloutSummary):
    """The same with its environments, in the order in which they go."""

    members: list[MemberAnswer]


class RolloutPage(BaseModel):
    """Rollouts, newest first."""

    items: list[RolloutSummary]


async def start_rollout(
    body: StartRollout, asker: Asker, key: IdempotencyKey, gateway: Deeds, response: Response
) -> RolloutAnswer:
    """Begin a rollout: every environment that has an older version is rehearsed, then the canaries are upgraded, then
    the others in batches. It stops by itself when one fails."""
    rollout = _answer(await gateway.rollouts.start(asker, body, key))
    response.headers["Location"] = rollout.links["self"]
    return rollout


async def list_rollouts(asker: Asker, gateway: Deeds, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> RolloutPage:
    """The newest rollouts."""
    found = await gateway.rollouts.newest(asker, limit)
    return RolloutPage(items=[_summary(rollout) for rollout in found])


async def get_rollout(rollout_id: RolloutId, asker: Asker, gateway: Deeds) -> RolloutAnswer:
    """One rollout, with every environment of it."""
    return _answer(await gateway.rollouts.find(asker, rollout_id))


async def pause_rollout(rollout_id: RolloutId, asker: Asker, gateway: Deeds) -> RolloutAnswer:
    """Begin nothing more until it is resumed; what is under way ends by itself."""
    return _answer(await gateway.rollouts.pause(asker, rollout_id))


async def resume_rollout(rollout_id: RolloutId, asker: Asker, gateway: Deeds) -> RolloutAnswer:
    """Go on, also after it was stopped; what failed stays failed."""
    return _answer(await gateway.rollouts.resume(asker, rollout_id))


async def cancel_rollout(rollout_id: RolloutId, asker: Asker, gateway: Deeds) -> RolloutAnswer:
    """End it; what is under way ends by itself, and what was upgraded stays so."""
    return _answer(await gateway.rollouts.cancel(asker, rollout_id))


def _summary(rollout: Rollout) -> RolloutSummary:
    return RolloutSummary(
        id=rollout.id,
        golden_path=rollout.golden_path,
        version=rollout.version,
        status=rollout.status,
        phase=rollout.phase,
        reason=rollout.reason,
        requested_by=rollout.requested_by,
        requested_at=rollout.requested_at,
        ended_at=rollout.ended_at,
        kinds=list(rollout.kinds) if rollout.kinds is not None else None,
        canaries=rollout.canaries,
        batch_size=rollout.batch_size,
        include_replacing=rollout.include_replacing,
        rehearse_only=rollout.rehearse_only,
        counts=rollout.by_state(),
        rehearsal=rollout.by_rehearsal(),
        links={"self": f"{API}/rollouts/{rollout.id}"},
    )


def _answer(rollout: Rollout) -> RolloutAnswer:
    return RolloutAnswer(
        **_summary(rollout).model_dump(), members=[_member(member) for member in rollout.members_in_order()]
    )


def _member(member: Member) -> MemberAnswer:
    found = member.rehearsal
    return MemberAnswer(
        environment=member.environment,
        team=member.team,
        kind=member.kind,
        version_before=member.version_before,
        state=member.state,
        rehearsal=RehearsalAnswer(
            outcome=found.outcome, counts=dict(found.counts), lost=things(found.lost), reason=found.reason
        )
        if found is not None
        else None,
        batch=member.batch,
        run_id=member.run_id,
        reason=member.reason,
        begun_at=member.begun_at,
        ended_at=member.ended_at,
    )


_ALL: Final = f"{API}/rollouts"
_ONE: Final = f"{_ALL}/{{id}}"
ENDPOINTS: Final = (
    Endpoint("POST", _ALL, start_rollout, ADMIN, 202, RolloutAnswer, "rollouts"),
    Endpoint("GET", _ALL, list_rollouts, ADMIN, 200, RolloutPage, "rollouts"),
    Endpoint("GET", _ONE, get_rollout, ADMIN, 200, RolloutAnswer, "rollouts"),
    Endpoint("POST", f"{_ONE}:pause", pause_rollout, ADMIN, 200, RolloutAnswer, "rollouts"),
    Endpoint("POST", f"{_ONE}:resume", resume_rollout, ADMIN, 200, RolloutAnswer, "rollouts"),
    Endpoint("POST", f"{_ONE}:cancel", cancel_rollout, ADMIN, 200, RolloutAnswer, "rollouts"),
)
