"""When an environment's time is up, when to warn before it, and when to look whether it has drifted. Pure.

Invariant: every reminder follows from the view and the hour alone, so all of them may be set again at any time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zlib import crc32

from contracts.queries import EnvironmentView
from contracts.timers import Timer, TimerKind

LONGEST_PREVIEW: Final = timedelta(days=30)
"""From its creation; only one that is kept lives longer."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long before its end an environment is warned of, and how often one is held against its desired state."""

    warn_before: tuple[timedelta, ...]
    drift_every: timedelta
    renews_for: timedelta = timedelta(days=7)
    """How long a preview lives from a deployment on, at the least."""
    sets_ahead: timedelta | None = None
    """How long before it is due a timer is set at the earliest: longer than from one sweep, which sets every timer
    again, to the next. None: at once, however long that is."""


def ends_at(view: EnvironmentView) -> datetime | None:
    """When its time is up; None while a run is under way, after its end, and for one that is kept."""
    return view.expires_at if view.state == "ready" else None


def capped(view: EnvironmentView, wanted: datetime | None) -> datetime | None:
    """The end that a wish for `wanted` gives: a preview lives no longer than `LONGEST_PREVIEW`, unless it is kept."""
    if wanted is None or view.spec.kind != "preview":
        return wanted
    return min(wanted, view.created_at + LONGEST_PREVIEW)


def due_warning(view: EnvironmentView, rhythm: Rhythm, now: datetime) -> datetime | None:
    """The moment of the warning that holds now: the last one that has passed, while the end is still to come."""
    end = ends_at(view)
    if end is None or now >= end:
        return None
    return max((moment for moment in _warnings(view, rhythm, end) if moment <= now), default=None)


def next_warning(view: EnvironmentView, rhythm: Rhythm, now: datetime) -> datetime | None:
    """The moment of the next warning that is still to come."""
    end = ends_at(view)
    if end is None:
        return None
    return min((moment for moment in _warnings(view, rhythm, end) if moment > now), default=None)


def next_drift_check(name: str, rhythm: Rhythm, now: datetime) -> datetime:
    """The next of this environment's own moments: one an interval, spread over it by name."""
    every = rhythm.drift_every
    offset = every * (crc32(name.encode()) / 2**32)
    return _EPOCH + offset + every * ((now - _EPOCH - offset) // every + 1)


def reminders(
    view: EnvironmentView, rhythm: Rhythm, now: datetime, *, not_before: datetime | None = None
) -> tuple[Timer, ...]:
    """Every timer that an environment shall have at this hour, as far ahead as they are set; one that is overdue is due
    at once, or at `not_before`."""
    if view.state != "ready":
        return ()
    moments: dict[TimerKind, datetime | None] = {
        "expiry": ends_at(view),
        "warning": due_warning(view, rhythm, now) or next_warning(view, rhythm, now),
        "drift_check": next_drift_check(view.name, rhythm, now),
    }
    return tuple(
        timer(view, kind, at if not_before is None else max(at, not_before))
        for kind, at in moments.items()
        if at is not None and (rhythm.sets_ahead is None or at - now <= rhythm.sets_ahead)
    )


def timer(view: EnvironmentView, kind: TimerKind, due_at: datetime) -> Timer:
    """One reminder about this environment."""
    return Timer(environment=view.name, incarnation=view.incarnation, kind=kind, due_at=due_at)


def has_moved(before: EnvironmentView | None, after: EnvironmentView) -> bool:
    """Whether what an environment is to be reminded of is another than before."""
    if after.state != "ready":
        return False
    return (
        before is None
        or before.state != "ready"
        or (before.expires_at, before.incarnation) != (after.expires_at, after.incarnation)
    )


def _warnings(view: EnvironmentView, rhythm: Rhythm, end: datetime) -> list[datetime]:
    """Moments to warn of an end. One that had passed before the environment was ready, or was given this end, would
    tell its owner what they have just asked for."""
    since = max(view.ready_at or view.created_at, view.last_activity_at or view.created_at)
    return [moment for before in rhythm.warn_before if (moment := end - before) > since]
