"""Events as sentences: what happened to an environment, for people. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.gateway.api.answers import EventAnswer
from services.gateway.portal import words


@dataclass(frozen=True)
class Entry:
    """One line of a timeline."""

    at: datetime
    title: str
    detail: str
    shape: str
    tone: str
    run_id: str
    sequence: int


_SAID: Final[Mapping[str, tuple[str, str, str]]] = {
    "environment_requested": ("Asked for by {by}", "plus", "busy"),
    "environment_update_requested": ("Change asked for by {by}", "run", "busy"),
    "environment_deletion_requested": ("Deletion asked for by {by}", "gone", "warn"),
    "run_cancel_requested": ("Run called off by {by}", "back", "warn"),
    "run_retry_requested": ("Run tried again by {by}", "run", "busy"),
    "access_requested": ("{who} asked for by {by}", "key", "busy"),
    "access_revocation_requested": ("End of {who} asked for by {by}", "key", "busy"),
    "access_granted": ("Granted: {who}", "key", "ok"),
    "access_revoked": ("Revoked: {who}", "key", "off"),
    "infra_ready": ("Infrastructure ready", "ok", "ok"),
    "infra_failed": ("Infrastructure failed", "bad", "bad"),
    "infra_destroyed": ("Infrastructure undone", "back", "off"),
    "secrets_stored": ("Secrets stored", "ok", "ok"),
    "secrets_failed": ("Secrets failed", "bad", "bad"),
    "secrets_revoked": ("Secrets revoked", "back", "off"),
    "pipeline_created": ("Pipeline created", "ok", "ok"),
    "pipeline_failed": ("Pipeline failed", "bad", "bad"),
    "pipeline_removed": ("Pipeline removed", "back", "off"),
    "environment_ready": ("Ready", "ok", "ok"),
    "environment_failed": ("Run failed, and was undone", "bad", "bad"),
    "environment_deleted": ("Deleted", "gone", "off"),
    "environment_expiring": ("Its time is nearly up", "wait", "warn"),
    "environment_expired": ("Its time was up", "wait", "warn"),
    "environment_extended": ("More time, by {by}", "wait", "ok"),
    "drift_detected": ("Drift found", "warn", "warn"),
    "run_stalled": ("The run makes no progress", "warn", "warn"),
}


def entry(event: EventAnswer) -> Entry:
    """How an event is told."""
    title, shape, tone = _SAID.get(event.kind, (event.kind.replace("_", " ").capitalize(), "info", "off"))
    data = event.data
    if event.kind == "environment_extended" and data.get("expires_at") is None:
        title = "Kept, by {by}"
    return Entry(
        at=datetime.fromisoformat(event.time),
        title=title.format(by=data.get("requested_by") or "the platform", who=_grant(data)),
        detail=_detail(data),
        shape=shape,
        tone=tone,
        run_id=event.run_id,
        sequence=event.sequence,
    )


def _grant(data: Mapping[str, Any]) -> str:
    to = f"team {data['team']}" if data.get("team") else str(data.get("person") or "")
    return f"{data.get('role', 'access')} for {to}"


def _detail(data: Mapping[str, Any]) -> str:
    failure = data.get("failure")
    if isinstance(failure, dict):
        return str(failure.get("message", ""))
    if data.get("reason"):
        return str(data["reason"])
    if isinstance(data.get("duration_seconds"), int | float):
        return f"after {words.took(float(data['duration_seconds']))}"
    if isinstance(data.get("waiting_seconds"), int | float):
        return f"{data.get('step', 'a step')} has waited for {words.took(float(data['waiting_seconds']))}"
    if data.get("differing"):
        return ", ".join(f"{thing.get('kind')} {thing.get('id')}" for thing in data["differing"])
    return ""
