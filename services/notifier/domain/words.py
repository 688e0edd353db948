"""Times, things and lists in words."""

from datetime import UTC, datetime, timedelta

from contracts.envelope import Event
from contracts.values import EnvironmentSpec, LeftBehind, Resource
from services.notifier.domain.announcements import ITEMS_SHOWN, Fact, Items, Link, Piece, Told


def duration(seconds: float) -> str:
    """A length of time as people say it: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def moment(at: datetime) -> str:
    """An instant for people: `30 Nov 2026 09:15 UTC`."""
    return f"{at.astimezone(UTC):%-d %b %Y %H:%M} UTC"


def moment_near(at: datetime, now: datetime) -> str:
    """An instant not far from now: `13:16 UTC`, or with its day where that is another one: `25 Nov 13:16 UTC`."""
    there = at.astimezone(UTC)
    day = "" if there.date() == now.astimezone(UTC).date() else f"{there:%-d %b} "
    return f"{day}{there:%H:%M} UTC"


def remaining(left: timedelta) -> str:
    """How long there still is, in one unit: `2 days`, `2 hours`, `30 minutes`. Never nothing: one minute at least."""
    for unit, length in (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1))):
        if left >= 1.5 * length or unit == "minute":
            count = max(1, round(left / length))
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError("minutes are the last unit")


def facts(spec: EnvironmentSpec) -> tuple[Fact, ...]:
    """Who it belongs to, and what it is."""
    until = f", until {moment(spec.expires_at)}" if spec.expires_at else ""
    return (
        Fact("Owner", (Told(spec.owner.person), " (", Told(spec.owner.team), ")")),
        Fact("Kind", (f"{spec.kind}{until}",)),
        Fact("Golden path", (Told(f"{spec.golden_path} {spec.golden_path_version}"),)),
    )


def resources(heading: str, things: tuple[Resource, ...]) -> tuple[Items, ...]:
    """A list of things; none where there are none."""
    return items(heading, tuple((_words(thing.kind), " ", Told(thing.id)) for thing in things))


def with_reasons(heading: str, things: tuple[LeftBehind, ...]) -> tuple[Items, ...]:
    """A list of things that are still there, each with the reason."""
    return items(
        heading,
        tuple((_words(one.resource.kind), " ", Told(one.resource.id), ": ", Told(one.reason)) for one in things),
    )


def items(heading: str, lines: tuple[tuple[Piece, ...], ...]) -> tuple[Items, ...]:
    """A list that ends; none where there are no lines."""
    if not lines:
        return ()
    return (Items(heading, lines[:ITEMS_SHOWN], max(0, len(lines) - ITEMS_SHOWN)),)


def _words(kind: str) -> Told:
    return Told(kind.replace("_", " "))


def run_link(event: Event, platform_url: str) -> tuple[Link, ...]:
    """To the run's page, if there is a portal."""
    return (Link("See the run", f"{platform_url.rstrip('/')}/runs/{event.run_id}"),) if platform_url else ()


def environment_link(label: str, event: Event, platform_url: str) -> tuple[Link, ...]:
    """To the environment's page, if there is a portal."""
    return (Link(label, f"{platform_url.rstrip('/')}/environments/{event.subject}"),) if platform_url else ()


def without_scheme(url: str) -> str:
    """An address as people write it."""
    return url.partition("://")[2].rstrip("/") or url
