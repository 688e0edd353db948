"""Rollouts: the newest version of a golden path, brought to every environment that has an older one. Pure.

    rehearsal -> canaries -> batches -> done

Invariants
- Nothing is begun that was not rehearsed: an environment becomes what its rehearsal said, or is rehearsed again.
- Whose data would be lost is held back, unless the rollout was asked to take such ones along.
- A batch begins when the one before it has ended; after one has failed nothing begins until a person says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, Literal, get_args
from uuid import UUID

from pydantic import Field

from contracts.golden_path import GoldenPath
from contracts.names import GoldenPathName, SemanticVersion
from contracts.plans import Plan
from contracts.queries import EnvironmentView
from contracts.values import Kind, Resource
from services.gateway.domain.admission import Ask
from services.gateway.domain.changes import newer_version
from services.gateway.domain.obstacles import exists
from services.gateway.domain.refusals import RolloutEndedError

Status = Literal["running", "paused", "stopped", "done", "cancelled"]
Phase = Literal["rehearsal", "canaries", "batches"]
MemberState = Literal["pending", "begun", "upgraded", "failed", "held", "skipped"]
Foreseen = Literal["unchanged", "changed", "loses_data", "refused"]
"""What a rehearsal says of an environment's infrastructure; `refused`: it cannot be brought there as it is."""

MOST_REHEARSALS: Final = 5
"""How often an environment that changes under our hands is rehearsed again."""
PATIENCE: Final = timedelta(minutes=15)
"""How long a rollout waits for an environment in which another run is under way."""
_RISK: Final[Mapping[Kind, int]] = {"preview": 0, "staging": 1, "production": 2}


class StartRollout(Ask):
    """A rollout that is asked for."""

    golden_path: GoldenPathName
    version: SemanticVersion | None = None
    """The one on offer, which is the default."""
    kinds: list[Kind] | None = Field(default=None, min_length=1, max_length=3)
    """Only environments of these kinds."""
    canaries: int = Field(default=1, ge=0, le=50)
    """How many go first, alone."""
    batch_size: int = Field(default=10, ge=1, le=100)
    """How many of the others go at a time."""
    include_replacing: bool = False
    """Whether those go along whose data would be lost."""
    pause_after_rehearsal: bool = False
    """Whether a person shall look at the rehearsal before anything begins."""
    rehearse_only: bool = False
    """Whether it ends with the rehearsal."""


@dataclass(frozen=True)
class Rehearsal:
    """What bringing one environment to the version would do, as the provisioner planned it."""

    outcome: Foreseen
    hash: str | None = None
    """Of the plan: what is begun must have the same. None where there is no plan."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many resources: created, updated, replaced, destroyed."""
    lost: tuple[Resource, ...] = ()
    """What would lose its data."""
    reason: str = ""
    """Why it was refused."""


@dataclass(frozen=True)
class Member:
    """One environment of a rollout."""

    environment: str
    incarnation: UUID
    team: str
    kind: Kind
    version_before: str
    state: MemberState = "pending"
    rehearsal: Rehearsal | None = None
    batch: int | None = None
    """0 for canaries, then 1, 2, …; None before it is known, and for those that are held back."""
    attempt: int = 0
    """How often it was asked for in vain."""
    rehearsals: int = 0
    """How often it was rehearsed again."""
    run_id: UUID | None = None
    reason: str = ""
    """Why it is held, skipped, failed or waits."""
    waiting_since: datetime | None = None
    begun_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be done with it."""
        return self.state not in {"pending", "begun"}


@dataclass(frozen=True)
class Rollout:
    """A rollout and how far it has come. `revision` counts its changes, for whoever stores it."""

    id: UUID
    fingerprint: bytes
    """Of the request that began it."""
    golden_path: str
    version: str
    requested_by: str
    requested_at: datetime
    canaries: int = 1
    batch_size: int = 10
    kinds: tuple[Kind, ...] | None = None
    include_replacing: bool = False
    pause_after_rehearsal: bool = False
    rehearse_only: bool = False
    status: Status = "running"
    phase: Phase = "rehearsal"
    reason: str = ""
    """Why it is paused, was stopped or cancelled."""
    ended_at: datetime | None = None
    members: tuple[Member, ...] = ()
    revision: int = 0

    def members_in(self, *states: MemberState) -> tuple[Member, ...]:
        """Those in one of these states."""
        return tuple(member for member in self.members if member.state in states)

    def members_in_order(self) -> list[Member]:
        """As they go: by batch, what is held back last."""
        return sorted(self.members, key=lambda member: (member.batch is None, member.batch or 0, member.environment))

    def by_state(self) -> dict[MemberState, int]:
        """How many members stand how."""
        states: tuple[MemberState, ...] = get_args(MemberState)
        return {state: len(self.members_in(state)) for state in states}

    def by_rehearsal(self) -> dict[Foreseen, int]:
        """Of how many what was foreseen."""
        outcomes: tuple[Foreseen, ...] = get_args(Foreseen)
        found = [member.rehearsal.outcome for member in self.members if member.rehearsal is not None]
        return {outcome: found.count(outcome) for outcome in outcomes}


def is_due_for(view: EnvironmentView, path: GoldenPath, kinds: tuple[Kind, ...] | None) -> bool:
    """Whether an environment belongs into a rollout of what `path` offers."""
    return exists(view) and newer_version(view.spec, path) is not None and (kinds is None or view.spec.kind in kinds)


def member_of(view: EnvironmentView) -> Member:
    """An environment as a rollout begins."""
    spec = view.spec
    return Member(view.name, view.incarnation, spec.owner.team, spec.kind, spec.golden_path_version)


def foreseen(plan: Plan) -> Rehearsal:
    """What a plan says."""
    lost = tuple(change.resource for change in plan.changes if change.loses_data)
    counts = {
        action: sum(change.action == action for change in plan.changes)
        for action in ("create", "update", "replace", "destroy")
    }
    outcome: Foreseen = "loses_data" if lost else "changed" if plan.changes else "unchanged"
    return Rehearsal(outcome, plan.hash, counts, lost)


# -- what is to be done next


def to_rehearse(rollout: Rollout, most: int) -> tuple[Member, ...]:
    """Who is to be rehearsed now."""
    if rollout.status != "running":
        return ()
    return tuple(member for member in rollout.members_in("pending") if member.rehearsal is None)[:most]


def due(rollout: Rollout) -> tuple[Member, ...]:
    """Who is to be begun now: the whole next batch, once nothing is under way; nobody while a person is asked, or while
    somebody of it must be rehearsed again."""
    if rollout.status != "running" or rollout.phase == "rehearsal" or rollout.members_in("begun"):
        return ()
    pending = rollout.members_in("pending")
    if not pending or any(member.rehearsal is None for member in pending):
        return ()
    first = min(_batch(member) for member in pending)
    return tuple(member for member in pending if _batch(member) == first)


# -- what becomes of one environment


def rehearsed(rollout: Rollout, member: Member, rehearsal: Rehearsal, now: datetime) -> Member:
    """It is known what would happen to it."""
    if rehearsal.outcome == "refused":
        return replace(member, rehearsal=rehearsal, state="held", reason=rehearsal.reason, ended_at=now)
    if rehearsal.outcome == "loses_data" and not rollout.include_replacing:
        things = ", ".join(f"{resource.kind} {resource.id}" for resource in rehearsal.lost)
        reason = f"{things} would lose its data. Take such ones along with include_replacing."
        return replace(member, rehearsal=rehearsal, state="held", reason=reason, ended_at=now)
    return replace(member, rehearsal=rehearsal, reason="", waiting_since=None)


def began(member: Member, run_id: UUID | None, now: datetime) -> Member:
    """It is being upgraded; `run_id` is None until its request was answered."""
    return replace(member, state="begun", run_id=run_id, begun_at=member.begun_at or now, reason="")


def ended(member: Member, state: Literal["upgraded", "failed", "skipped"], now: datetime, reason: str = "") -> Member:
    """Nothing more is done with it."""
    return replace(member, state=state, reason=reason, ended_at=now)


def postponed(member: Member, now: datetime, reason: str) -> Member:
    """Something is in its way; after `PATIENCE` it is left out."""
    since = member.waiting_since or now
    if now - since > PATIENCE:
        return ended(member, "skipped", now, f"{reason} The rollout did not wait any longer.")
    return replace(member, state="pending", attempt=member.attempt + 1, waiting_since=since, reason=reason)


def withdrawn(rollout: Rollout, member: Member, now: datetime) -> Member:
    """It was about to be asked for when somebody, or a failure, stopped the rollout."""
    if rollout.status == "cancelled":
        return ended(member, "skipped", now, rollout.reason)
    return replace(member, state="pending", begun_at=None)


def to_be_rehearsed_again(member: Member, now: datetime) -> Member:
    """It is not what it was when it was rehearsed."""
    if member.rehearsals >= MOST_REHEARSALS:
        return ended(member, "failed", now, "It changed again and again between its rehearsal and its upgrade.")
    return replace(
        member, state="pending", rehearsal=None, attempt=member.attempt + 1, rehearsals=member.rehearsals + 1
    )


# -- what becomes of the rollout


def advanced(rollout: Rollout, changed: Iterable[Member], now: datetime) -> Rollout:
    """The rollout after these members have changed: stopped where one of them failed, in its next phase, or over."""
    news = {member.environment: member for member in changed}
    failed = [
        news[member.environment]
        for member in rollout.members
        if member.state != "failed" and member.environment in news and news[member.environment].state == "failed"
    ]
    rollout = replace(rollout, members=tuple(news.get(member.environment, member) for member in rollout.members))
    if failed and rollout.status in {"running", "paused"}:
        words = "; ".join(f"{member.environment}: {member.reason}" for member in failed)
        rollout = replace(rollout, status="stopped", reason=words)
    if rollout.phase == "rehearsal" and not any(member.rehearsal is None for member in rollout.members_in("pending")):
        rollout = _arranged(rollout, now)
    if rollout.phase == "canaries" and all(member.is_over for member in rollout.members if member.batch == 0):
        rollout = replace(rollout, phase="batches")
    return _over(rollout, now)


def paused(rollout: Rollout, by: str) -> Rollout:
    """Nothing new begins. Raises `RolloutEndedError`."""
    _require_going_on(rollout)
    return replace(rollout, status="paused", reason=f"Paused by {by}.") if rollout.status == "running" else rollout


def resumed(rollout: Rollout) -> Rollout:
    """It goes on; what failed stays failed. Raises `RolloutEndedError`."""
    _require_going_on(rollout)
    return replace(rollout, status="running", reason="")


def cancelled(rollout: Rollout, by: str, now: datetime) -> Rollout:
    """It begins nothing any more; what is under way ends by itself. Raises `RolloutEndedError`."""
    _require_going_on(rollout)
    reason = f"Cancelled by {by}."
    members = tuple(
        ended(member, "skipped", now, reason) if member.state == "pending" else member for member in rollout.members
    )
    return _over(replace(rollout, status="cancelled", reason=reason, members=members), now)


def _require_going_on(rollout: Rollout) -> None:
    if rollout.ended_at is not None or rollout.status == "cancelled":
        raise RolloutEndedError("This rollout is over. Begin a new one for what is still to be done.")


def _arranged(rollout: Rollout, now: datetime) -> Rollout:
    """Everybody is rehearsed: who goes when. What is least dear goes first, and first of all where something changes,
    for a canary to which nothing happens tells nothing. No batch mixes previews with what people live on."""

    def order(member: Member) -> tuple[int, bool, str]:
        foreseen_ = member.rehearsal.outcome if member.rehearsal is not None else "refused"
        return _RISK[member.kind], foreseen_ == "unchanged", member.environment

    going = sorted(rollout.members_in("pending"), key=order)
    numbers = {member.environment: 0 for member in going[: rollout.canaries]}
    batch = 0
    for _, of_one_kind in groupby(going[rollout.canaries :], key=lambda member: member.kind):
        for place, member in enumerate(of_one_kind):
            batch += place % rollout.batch_size == 0
            numbers[member.environment] = batch
    members = tuple(replace(member, batch=numbers.get(member.environment)) for member in rollout.members)
    rollout = replace(rollout, members=members, phase="canaries")
    if rollout.rehearse_only:
        return replace(rollout, status="done", ended_at=now)
    if rollout.pause_after_rehearsal and going and rollout.status == "running":
        return replace(rollout, status="paused", reason="The rehearsal is over. Look at it, and resume or cancel.")
    return rollout


def _over(rollout: Rollout, now: datetime) -> Rollout:
    if rollout.ended_at is not None or rollout.members_in("pending", "begun"):
        return rollout
    status: Status = rollout.status if rollout.status in {"cancelled", "stopped"} else "done"
    return replace(rollout, status=status, ended_at=now)


def _batch(member: Member) -> int:
    return member.batch if member.batch is not None else 0
