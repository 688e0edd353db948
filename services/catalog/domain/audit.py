"""Who did what: an entry of the audit from an event as it stands in the log. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.insights import AuditAction, AuditEntry
from services.catalog.domain.history import differing


def entry(
    event: Mapping[str, Any],
    *,
    sequence: int,
    time: datetime,
    action: AuditAction,
    environment: str,
    run_id: UUID,
    team: str | None,
) -> AuditEntry:
    """What an event of one of the kinds of `AuditAction` says of who did what. `team` owned the environment; where the
    views no longer know, the event's own desired state does."""
    said: Mapping[str, Any] = event.get("data") or {}
    trace = event.get("traceparent")
    owner = said.get("spec", {}).get("owner", {}).get("team")
    return AuditEntry(
        sequence=sequence,
        time=time,
        action=action,
        environment=environment,
        team=owner or team or "unknown",
        person=said.get("requested_by"),
        cause=said.get("cause"),
        reason=said.get("reason") or "",
        detail=_detail(action, said),
        run_id=run_id,
        trace_id=trace.split("-")[1] if isinstance(trace, str) else None,
    )


def _detail(action: AuditAction, said: Mapping[str, Any]) -> str:
    if action in {"access_requested", "access_revocation_requested"}:
        whom = f"person {said['person']}" if said.get("person") else f"team {said.get('team')}"
        return f"{said.get('role')} for {whom}"
    if action == "environment_extended":
        return f"until {said['expires_at']}" if said.get("expires_at") else "kept without an end"
    if action == "drift_detected":
        differing = said.get("differing") or ()
        return ", ".join(f"{one['kind']} {one['id']}" for one in differing) or "nothing differs any more"
    if action == "environment_update_requested":
        return _differences(said.get("previous") or {}, said.get("spec") or {})
    return ""


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The fields of a desired state that were asked to be another."""
    told = (f"{change.field}: {change.before} → {change.after}" for change in differing(before, after))
    return ", ".join(told) or "nothing but a repair"
