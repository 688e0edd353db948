"""What stands in the way of a request, given what is known of its environment. Pure.

Invariants
- One run at a time: nothing begins while another run is under way.
- A name belongs to one team at a time. It is free when nothing ever had it, when what had it is deleted, or when its
  creation failed and left nothing behind that another team could find.
- A change is made to what its asker saw: where the desired state is another one by now, it is refused.
"""

from collections.abc import Callable, Collection
from typing import Final

from contracts.queries import EnvironmentView
from contracts.values import EnvironmentSpec
from services.gateway.domain.refusals import RecordedRefusal, RefusalCode, Standing
from services.gateway.domain.requests import AcceptedRequest, Operation

LIVE_STATES: Final = frozenset({"creating", "updating", "ready", "undoing", "deleting"})
BUSY_STATES: Final = frozenset({"creating", "updating", "undoing", "deleting"})
"""States in which a run is under way."""
GOING_FORWARD: Final = frozenset({"creating", "updating"})
"""States in which there is something to call off."""


def obstacle(request: AcceptedRequest, view: EnvironmentView | None) -> RecordedRefusal | None:
    """Why `request` cannot be carried out now; None where it can."""
    if request.operation == "create":
        return _obstacle_to_creation(request, view)
    if view is None or view.state == "deleted" or view.incarnation != request.incarnation:
        return RecordedRefusal(code="not_found")
    code = _CODES[request.operation](request, view)
    return RecordedRefusal(code=code, standing=_standing(view, request.visible_teams)) if code is not None else None


def exists(view: EnvironmentView) -> bool:
    """Whether there is anything of it that could be changed."""
    return view.state != "deleted" and (view.state != "failed" or view.infrastructure is not None)


def same_wish(one: EnvironmentSpec, other: EnvironmentSpec | None) -> bool:
    """Whether two desired states are the same but for their end, which has a life of its own."""
    return other is not None and one.model_copy(update={"expires_at": None}) == other.model_copy(
        update={"expires_at": None}
    )


def _obstacle_to_creation(request: AcceptedRequest, view: EnvironmentView | None) -> RecordedRefusal | None:
    if view is None or _name_is_free(view, request.run.spec.owner.team):
        return None
    return RecordedRefusal(code="name_taken", standing=_standing(view, request.visible_teams))


def _to_update(request: AcceptedRequest, view: EnvironmentView) -> RefusalCode | None:
    if view.state in BUSY_STATES:
        return "run_under_way"
    if not exists(view):
        return "nothing_there"
    return None if same_wish(view.spec, request.run.previous) else "changed_meanwhile"


def _to_deletion(_: AcceptedRequest, view: EnvironmentView) -> RefusalCode | None:
    return "run_under_way" if view.state in BUSY_STATES else None


def _to_cancelling(request: AcceptedRequest, view: EnvironmentView) -> RefusalCode | None:
    if view.run_id != request.run_id or view.state not in BUSY_STATES:
        return "run_ended"
    return None if view.state in GOING_FORWARD else "run_under_way"


def _to_life(_: AcceptedRequest, view: EnvironmentView) -> RefusalCode | None:
    return "run_under_way" if view.state == "deleting" else None


_CODES: Final[dict[Operation, Callable[[AcceptedRequest, EnvironmentView], RefusalCode | None]]] = {
    "update": _to_update,
    "delete": _to_deletion,
    "cancel": _to_cancelling,
    "extend": _to_life,
    "grant": _to_life,
    "revoke": _to_life,
}


def _name_is_free(view: EnvironmentView, team: str) -> bool:
    if view.state in LIVE_STATES:
        return False
    # What a failed creation left behind may be adopted by the next try of the same team, never by another team.
    return view.state == "deleted" or not view.left_behind or view.spec.owner.team == team


def _standing(view: EnvironmentView, visible_teams: Collection[str] | None) -> Standing | None:
    if visible_teams is not None and view.spec.owner.team not in visible_teams:
        return None
    return standing_of(view)


def standing_of(view: EnvironmentView) -> Standing:
    """What may be told to somebody who sees the environment."""
    return Standing(name=view.name, state=view.state, run_id=view.run_id)
