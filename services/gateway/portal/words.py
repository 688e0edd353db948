"""How states, times and amounts are told: a word and a shape for each state, whatever its colour. Pure.

Invariant: the deployment state and the running state of an environment are told apart, and a step that waits for its
next attempt is never told as one that failed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final


@dataclass(frozen=True)
class Told:
    """A state as people see it."""

    word: str
    shape: str
    """The icon: each stands for one meaning."""
    tone: str
    """ok, busy, warn, bad or off; only repeats what word and shape say."""


UNKNOWN: Final = "\N{EN DASH}"
"""In place of a number that is not known."""
_UNKNOWN: Final = Told("Unknown", "off", "off")

ENVIRONMENT: Final = {
    "creating": Told("Creating", "busy", "busy"),
    "updating": Told("Updating", "busy", "busy"),
    "ready": Told("Ready", "ok", "ok"),
    "undoing": Told("Undoing", "back", "warn"),
    "failed": Told("Failed", "bad", "bad"),
    "deleting": Told("Deleting", "busy", "busy"),
    "deleted": Told("Deleted", "gone", "off"),
}
DEPLOYMENT: Final = {
    "queued": Told("Queued", "wait", "off"),
    "deploying": Told("Deploying", "busy", "busy"),
    "started": Told("Deploying", "busy", "busy"),
    "deployed": Told("Deployed", "ok", "ok"),
    "succeeded": Told("Deployed", "ok", "ok"),
    "failed": Told("Failed", "bad", "bad"),
    "none": Told("None yet", "off", "off"),
}
RUNNING: Final = {
    "healthy": Told("Healthy", "ok", "ok"),
    "degraded": Told("Degraded", "warn", "warn"),
    "down": Told("Down", "bad", "bad"),
    "unknown": Told("Unknown", "off", "off"),
}
RUN: Final = {
    "running": Told("Running", "busy", "busy"),
    "undoing": Told("Undoing", "back", "warn"),
    "succeeded": Told("Succeeded", "ok", "ok"),
    "failed": Told("Failed", "bad", "bad"),
}
STEP: Final = {
    "pending": Told("Not started", "off", "off"),
    "running": Told("Running", "busy", "busy"),
    "waiting": Told("Waiting for the next attempt", "wait", "warn"),
    "succeeded": Told("Done", "ok", "ok"),
    "failed": Told("Failed", "bad", "bad"),
    "undoing": Told("Undoing", "back", "warn"),
    "undone": Told("Undone", "back", "off"),
}
TICKET: Final = {
    "waiting": Told("Passed on", "wait", "off"),
    "open": Told("Open", "busy", "busy"),
    "closed": Told("Closed", "ok", "ok"),
    "completed": Told("Done", "ok", "ok"),
    "not_planned": Told("Not planned", "gone", "off"),
    "duplicate": Told("Known already", "gone", "off"),
}
ROLLOUT: Final = {
    "running": Told("Running", "busy", "busy"),
    "paused": Told("Paused", "wait", "warn"),
    "stopped": Told("Stopped", "bad", "bad"),
    "done": Told("Done", "ok", "ok"),
    "cancelled": Told("Cancelled", "gone", "off"),
}
MEMBER: Final = {
    "pending": Told("Waiting", "off", "off"),
    "begun": Told("Upgrading", "busy", "busy"),
    "upgraded": Told("Upgraded", "ok", "ok"),
    "failed": Told("Failed", "bad", "bad"),
    "held": Told("Held back", "warn", "warn"),
    "skipped": Told("Left out", "gone", "off"),
}
NOTIFICATION: Final = {
    "sending": Told("Being sent", "busy", "busy"),
    "waiting": Told("Waiting", "wait", "warn"),
    "sent": Told("Sent", "ok", "ok"),
    "failed": Told("Failed", "bad", "bad"),
    "skipped": Told("Too late", "gone", "off"),
}
WEBHOOK: Final = {
    "active": Told("Active", "ok", "ok"),
    "paused": Told("Paused", "wait", "warn"),
    "disabled": Told("Disabled", "bad", "bad"),
}
DELIVERY: Final = {
    "waiting": Told("Waiting", "wait", "warn"),
    "delivered": Told("Arrived", "ok", "ok"),
    "failed": Told("Failed", "bad", "bad"),
}
EVENTS: Final = {
    "environment_requested": "Asked for",
    "environment_update_requested": "Change asked for",
    "environment_deletion_requested": "Deletion asked for",
    "environment_ready": "Is ready",
    "environment_failed": "Has failed",
    "environment_deleted": "Is deleted",
    "environment_expiring": "Ends soon",
    "environment_expired": "Time is up",
    "environment_extended": "Extended",
    "drift_detected": "Drift found",
    "deployment_recorded": "Deployment",
    "webhook_test": "Test",
}
"""What is told outside; others are called as they are."""
STEP_NAMES: Final = {"infrastructure": "Infrastructure", "secrets": "Secrets and access", "pipeline": "Pipeline"}
RUN_KINDS: Final = {"create": "Create", "update": "Update", "delete": "Delete"}
CAUSES: Final = {
    "person": "",
    "expiry": "its time was up",
    "drift": "repair of drift",
    "upgrade": "upgrade",
    "git": "a push to the environments repository",
    "retry": "tried again",
}
_KINDS: Final = {
    "environment": ENVIRONMENT,
    "deployment": DEPLOYMENT,
    "running": RUNNING,
    "run": RUN,
    "step": STEP,
    "ticket": TICKET,
    "rollout": ROLLOUT,
    "member": MEMBER,
    "notification": NOTIFICATION,
    "webhook": WEBHOOK,
    "delivery": DELIVERY,
}
_SIZES: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_NOW_SECONDS: Final = 5


def told(kind: str, state: str) -> Told:
    """How a state of this kind (one of the keys of `_KINDS`) is told."""
    return _KINDS[kind].get(state, _UNKNOWN)


def event_name(kind: str) -> str:
    """An event by its name in snake case, as people say it."""
    return EVENTS.get(kind) or kind.replace("_", " ").capitalize()


def exact(moment: datetime) -> str:
    """An instant for programs: RFC 3339, UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def on_hover(moment: datetime) -> str:
    """An instant for people, exactly."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(moment: datetime) -> str:
    """The time of day."""
    return moment.astimezone(UTC).strftime("%H:%M:%S")


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, or in how long, in its largest unit."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < _NOW_SECONDS:
        return "now"
    return f"{_largest(seconds)} ago" if seconds > 0 else f"in {_largest(-seconds)}"


def left(moment: datetime, now: datetime) -> str:
    """How much time there is until then."""
    seconds = (moment - now).total_seconds()
    return _largest(seconds) if seconds > 0 else "time is up"


def _largest(seconds: float) -> str:
    name, size = next((pair for pair in _SIZES if seconds >= pair[1]), _SIZES[-1])
    # From two on to the nearest: what was just given seven days has seven days.
    return counted(int(seconds / size + (0.5 if seconds >= 2 * size else 0)), name)


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def took(seconds: float | None) -> str:
    """A duration, as precise as it is interesting."""
    if seconds is None:
        return UNKNOWN
    if 0.05 < seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    if whole < 172_800:
        return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")
    return counted(whole // 86_400, "day")


def money(amount: str | float | Decimal | None, currency: str | None) -> str:
    """An amount with its currency, in hundredths."""
    if amount is None or currency is None:
        return UNKNOWN
    try:
        number = Decimal(str(amount))
    except InvalidOperation:
        return UNKNOWN
    return f"{number:,.2f} {currency}"
