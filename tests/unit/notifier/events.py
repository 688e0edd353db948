"""The events that the notifier hears."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from chassis.identity import EventKey
from contracts.envelope import Event
from contracts.events import (
    EnvironmentDeleted,
    EnvironmentDeletedData,
    EnvironmentFailed,
    EnvironmentFailedData,
    EnvironmentReady,
    EnvironmentReadyData,
    RunStalled,
    Stalled,
)
from contracts.values import Failure, LeftBehind, Resource
from tests import samples

KEY = EventKey(b"k" * 32)
NAMESPACE = Resource(kind="namespace", id="demo-api")
DATABASE = Resource(kind="database", id="apps/env_demo_api")


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


def later(event: Event, by: timedelta) -> Any:
    """The same news of another time."""
    return event.model_copy(update={"time": event.time + by})


def _request(name: str) -> Event:
    return samples.requested(KEY, name, uuid4())
