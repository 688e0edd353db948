"""The events that the notifier hears."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from chassis.identity import EventKey
from contracts.envelope import Event
from contracts.events import (
    Drift,
    DriftDetected,
    EnvironmentDeleted,
    EnvironmentDeletedData,
    EnvironmentExpired,
    EnvironmentExpiring,
    EnvironmentFailed,
    EnvironmentFailedData,
    EnvironmentReady,
    EnvironmentReadyData,
    Expiry,
    RunStalled,
    Stalled,
)
from contracts.values import Failure, LeftBehind, Resource
from tests import samples

KEY = EventKey(b"k" * 32)
NAMESPACE = Resource(kind="namespace", id="demo-api")
DATABASE = Resource(kind="database", id="apps/env_demo_api")


def _request(name: str) -> Event:
    return samples.requested(KEY, name, uuid4())


def ready(name: str = "demo-api", *, team: str = "payments", **changes: Any) -> EnvironmentReady:
    """An environment is ready."""
    request = _request(name)
    spec = samples.spec(name, owner={"person": "ada", "team": team})
    values: dict[str, Any] = {
        "spec": spec,
        "infrastructure": samples.infrastructure(name),
        "secrets": samples.secrets(name),
        "pipeline": samples.pipeline(name),
        "duration_seconds": 42.4,
    } | changes
    return samples.follows(KEY, EnvironmentReady, EnvironmentReadyData(**values), request, source="catalog")


def failed(name: str = "demo-api", **changes: Any) -> EnvironmentFailed:
    """A run failed and was undone."""
    failure = Failure(
        step="secrets", code="gave_up", message="OpenBao did not answer", next_step="Try again.", attempts=5
    )
    values: dict[str, Any] = {
        "spec": samples.spec(name),
        "failure": failure,
        "created": (NAMESPACE, DATABASE),
        "undone": (NAMESPACE,),
        "left_behind": (LeftBehind(resource=DATABASE, reason="it holds data that we did not make"),),
        "duration_seconds": 200,
    } | changes
    return samples.follows(KEY, EnvironmentFailed, EnvironmentFailedData(**values), _request(name), source="catalog")


def deleted(name: str = "demo-api", **changes: Any) -> EnvironmentDeleted:
    """An environment is gone."""
    values: dict[str, Any] = {
        "spec": samples.spec(name),
        "removed": (NAMESPACE, DATABASE),
        "left_behind": (),
        "duration_seconds": 7500,
    } | changes
    return samples.follows(KEY, EnvironmentDeleted, EnvironmentDeletedData(**values), _request(name), source="catalog")


def stalled(name: str = "demo-api") -> RunStalled:
    """A run makes no progress."""
    data = Stalled(spec=samples.spec(name), step="pipeline", waiting_seconds=720)
    return samples.follows(KEY, RunStalled, data, _request(name), source="catalog")


def expiring(
    name: str = "demo-api", *, left: timedelta = timedelta(hours=2), expires_at: datetime | None = None
) -> EnvironmentExpiring:
    """An environment's time is nearly up; the warning is said now."""
    data = Expiry(spec=samples.spec(name), expires_at=expires_at or samples.AT + left)
    return samples.follows(KEY, EnvironmentExpiring, data, _request(name), source="catalog")


def expired(name: str = "demo-api") -> EnvironmentExpired:
    """An environment's time is up."""
    data = Expiry(spec=samples.spec(name), expires_at=samples.AT)
    return samples.follows(KEY, EnvironmentExpired, data, _request(name), source="catalog")


def drifted(name: str = "demo-api", *, kind: str = "preview", differing: tuple[Resource, ...] = (DATABASE,)) -> Any:
    """What exists is not what the commit says."""
    data = Drift(spec=samples.spec(name, kind=kind), differing=differing)
    return samples.follows(KEY, DriftDetected, data, _request(name), source="catalog")


EVERY_KIND = (ready(), failed(), deleted(), stalled(), expiring(), expired(), drifted())
"""One event of each kind that is announced."""


def later(event: Event, by: timedelta) -> Any:
    """The same news of another time."""
    return event.model_copy(update={"time": event.time + by})
