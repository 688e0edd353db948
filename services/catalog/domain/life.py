"""What happens to an environment besides its runs: more time, grants, drift. Each is about the present life, whichever
run it came with."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from contracts.envelope import Event
from contracts.events import AccessGranted, AccessRevoked, DriftDetected, EnvironmentExtended
from contracts.queries import EnvironmentView, Grant
from services.catalog.domain.reminders import capped


def live(environment: EnvironmentView, event: Event) -> dict[str, object] | None:
    """What an event of its life changes of an environment, by field; None where it is no such event."""
    deed = _DEEDS.get(type(event))
    return {**deed(environment, event), "updated_at": event.time} if deed is not None else None


def _extend(environment: EnvironmentView, event: EnvironmentExtended) -> Mapping[str, object]:
    data = event.data
    expires_at = capped(environment, data.expires_at)
    return {
        "expires_at": expires_at,
        "kept_because": (data.reason or "kept") if data.expires_at is None else None,
        "last_activity_at": event.time,
        "spec": environment.spec.model_copy(update={"expires_at": expires_at}),
    }


def _grant(environment: EnvironmentView, event: AccessGranted) -> Mapping[str, object]:
    granted = _grant_in(event)
    return {"access": (*(one for one in environment.access if one != granted), granted)}


def _revoke(environment: EnvironmentView, event: AccessRevoked) -> Mapping[str, object]:
    revoked = _grant_in(event)
    return {"access": tuple(one for one in environment.access if one != revoked)}


def _grant_in(event: AccessGranted | AccessRevoked) -> Grant:
    return Grant(role=event.data.role, person=event.data.person, team=event.data.team)


def _drift(_: EnvironmentView, event: DriftDetected) -> Mapping[str, object]:
    return {"drift": event.data.differing, "drift_detected_at": event.time if event.data.differing else None}


_DEEDS: Final[dict[type[Event], Callable[[EnvironmentView, Any], Mapping[str, object]]]] = {
    EnvironmentExtended: _extend,
    AccessGranted: _grant,
    AccessRevoked: _revoke,
    DriftDetected: _drift,
}
