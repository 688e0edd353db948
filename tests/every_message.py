"""One valid message of every published kind, with every optional field filled in."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from chassis.identity import EventKey
from contracts import events, signals
from contracts.envelope import Event, Value
from contracts.values import Failure, LeftBehind, Receipt, Resource
from tests import samples

KEY = EventKey(b"k" * 32)
CAUSE = UUID("11111111-1111-4111-8111-111111111111")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

_SPEC = samples.spec(parameters={"instances": 2}, expires_at=samples.AT + timedelta(days=7))
_RUN: dict[str, Any] = {"spec": _SPEC, "previous": samples.spec()}
_LEFT = (LeftBehind(resource=Resource(kind="repository", id="acme/demo-api"), reason="It holds commits of people."),)
_GONE = (Resource(kind="database", id="apps/env_demo_api"),)
_FAILURE = Failure(step="pipeline", code="repository_taken", message="taken", next_step="Choose another.", attempts=2)
_MADE: dict[str, Any] = {"infrastructure": samples.infrastructure(), "secrets": samples.secrets()}
_ASKED = events.Asked(**_RUN, requested_by="ada", cause="upgrade", reason="1.1.0 is out")
_COMMAND = events.RunCommand(requested_by="ada", reason="wrong branch")
_ACCESS = events.AccessChange(requested_by="ada", role="viewer", person="bob")
_STEP_FAILED = events.StepFailed(**_RUN, failure=_FAILURE)
_UNDONE = events.Undone(**_RUN, receipt=Receipt(removed=_GONE, left_behind=_LEFT))
_EXPIRY = events.Expiry(spec=_SPEC, expires_at=samples.AT, requested_by="ada", reason="demo on Friday")

_DATA: dict[type[Event], Value] = {
    events.EnvironmentRequested: _ASKED,
    events.EnvironmentUpdateRequested: _ASKED,
    events.EnvironmentDeletionRequested: _ASKED,
    events.RunCancelRequested: _COMMAND,
    events.RunRetryRequested: _COMMAND,
    events.AccessRequested: _ACCESS,
    events.AccessRevocationRequested: _ACCESS,
    events.InfraReady: events.InfraReadyData(**_RUN, infrastructure=samples.infrastructure()),
    events.InfraFailed: _STEP_FAILED,
    events.InfraDestroyed: _UNDONE,
    events.SecretsStored: events.SecretsStoredData(**_RUN, **_MADE),
    events.SecretsFailed: _STEP_FAILED,
    events.SecretsRevoked: _UNDONE,
    events.AccessGranted: _ACCESS,
    events.AccessRevoked: _ACCESS,
    events.PipelineCreated: events.PipelineCreatedData(**_RUN, **_MADE, pipeline=samples.pipeline()),
    events.PipelineFailed: _STEP_FAILED,
    events.PipelineRemoved: _UNDONE,
    events.EnvironmentReady: events.EnvironmentReadyData(
        **_RUN, **_MADE, pipeline=samples.pipeline(), duration_seconds=1.5
    ),
    events.EnvironmentFailed: events.EnvironmentFailedData(
        **_RUN, failure=_FAILURE, created=_GONE, undone=_GONE, left_behind=_LEFT, duration_seconds=1.5
    ),
    events.EnvironmentDeleted: events.EnvironmentDeletedData(
        **_RUN, removed=_GONE, left_behind=_LEFT, duration_seconds=1.5
    ),
    events.EnvironmentExpiring: _EXPIRY,
    events.EnvironmentExpired: _EXPIRY,
    events.EnvironmentExtended: _EXPIRY,
    events.DriftDetected: events.Drift(spec=_SPEC, differing=_GONE),
    events.RunStalled: events.Stalled(spec=_SPEC, step="secrets", waiting_seconds=301.5),
}

_FACTS: dict[type[signals.Signal], dict[str, Any]] = {
    signals.DeploymentRecorded: {
        "deployment_id": "42", "state": "succeeded", "commit": "0123456789abcdef", "branch": "main", "author": "ada",
        "duration_seconds": 3.5, "log_url": "https://example.com/log",
    },
    signals.HealthChanged: {"state": "degraded", "reason": "one of two instances is down"},
    signals.CostRecorded: {
        "amount": 1.25, "currency": "EUR", "period_start": samples.AT, "period_end": samples.AT + timedelta(hours=1),
    },
    signals.TicketOpened: {"ticket": "7", "title": "It is slow", "url": "https://example.com/7"},
    signals.TicketChanged: {
        "ticket": "7", "feedback_id": CAUSE, "title": "It is slow", "url": "https://example.com/7", "state": "closed",
        "outcome": "completed", "replies": 2, "reply": {"author": "grace", "text": "Mended.", "at": samples.AT},
    },
    signals.FeedbackGiven: {"person": "ada", "text": "nice", "page": "/", "run_id": CAUSE},
    signals.SurveyAnswered: {"person": "ada", "score": 5, "text": "keep going"},
    signals.SurveyDeclined: {"person": "ada"},
    signals.PreviewNoted: {
        "repository": "acme/demo-api", "number": 7, "what": "moved", "commit": "0123456789abcdef", "reason": "agreed",
        "person": "ada", "log_url": "https://example.com/log",
    },
}  # fmt: skip


def every_event() -> Iterator[Event]:
    """One event of every kind, in the order of `EVENT_TYPES`."""
    first = samples.requested(KEY, cause=CAUSE, traceparent=TRACEPARENT)
    for kind in events.EVENT_TYPES:
        yield samples.follows(KEY, kind, _DATA[kind], first)


def every_signal() -> Iterator[signals.Signal]:
    """One signal of every kind, in the order of `SIGNAL_TYPES`."""
    for kind in signals.SIGNAL_TYPES:
        yield kind.model_validate(
            {
                "id": CAUSE,
                "source": "forge",
                "type": kind.model_fields["type"].default,
                "subject": "demo-api",
                "time": samples.AT,
                "traceparent": TRACEPARENT,
                "data": _FACTS[kind],
            }
        )
