"""What a team is told: pure rules from an event to an announcement, in words, without a thought for Slack.

Invariant: text that a person or another service wrote stays apart from ours (`Told`), so that whoever renders an
announcement knows what to escape; and every list has an end.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from contracts.events import EnvironmentDeleted, EnvironmentFailed, EnvironmentReady, RunStalled
from contracts.values import EnvironmentSpec, LeftBehind, Owner, Resource

Announced = EnvironmentReady | EnvironmentFailed | EnvironmentDeleted | RunStalled
"""The events that are announced."""

Tone = Literal["good", "bad", "waiting", "gone"]

ITEMS_SHOWN = 10
"""How many of a list are named before "and n more"."""


@dataclass(frozen=True)
class Told:
    """Words of somebody else: shown literally."""

    text: str


@dataclass(frozen=True)
class Link:
    """A place to go: http or https only."""

    label: str
    url: str


Piece = str | Told | Link
"""Our own words, somebody else's, or a link."""


@dataclass(frozen=True)
class Fact:
    """A labelled detail."""

    label: str
    value: tuple[Piece, ...]


@dataclass(frozen=True)
class Items:
    """A heading and what belongs under it; `more` is how many were left out."""

    heading: str
    lines: tuple[tuple[Piece, ...], ...]
    more: int = 0


@dataclass(frozen=True)
class Announcement:
    """One message to one channel. `title` is ours around the environment's name, which is a safe word."""

    tone: Tone
    title: str
    paragraphs: tuple[tuple[Piece, ...], ...]
    facts: tuple[Fact, ...] = ()
    items: tuple[Items, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Channels:
    """Which channel a team reads."""

    default: str
    by_team: dict[str, str]

    def of(self, owner: Owner) -> str:
        """The channel's name without `#`."""
        return self.by_team.get(owner.team, self.default).removeprefix("#")


def is_stale(event: Announced, now: datetime, after: timedelta) -> bool:
    """Whether it is too late to tell anybody."""
    return now - event.time > after


def announce(event: Announced, platform_url: str) -> Announcement:
    """What is said about `event`; links lead into the portal at `platform_url`, if there is one."""
    match event:
        case EnvironmentReady():
            return _ready(event, platform_url)
        case EnvironmentFailed():
            return _failed(event, platform_url)
        case EnvironmentDeleted():
            return _deleted(event, platform_url)
        case RunStalled():
            return _stalled(event, platform_url)


def _ready(event: EnvironmentReady, platform_url: str) -> Announcement:
    spec, pipeline = event.data.spec, event.data.pipeline
    url = event.data.infrastructure.url
    took = f"It took {duration(event.data.duration_seconds)}."
    address: tuple[Piece, ...] = (Link(_without_scheme(url), url), f" answers. {took}") if url else (took,)
    merge: tuple[Piece, ...] = ("Merge ", Link("the pull request", pipeline.pull_request_url or ""), " to deploy it.")
    return Announcement(
        tone="good",
        title=f"{event.subject} is ready",
        paragraphs=(address, merge) if pipeline.pull_request_url else (address,),
        facts=(
            *_facts(spec),
            Fact("Repository", (Link(pipeline.repository, pipeline.html_url), " on ", Told(pipeline.branch))),
        ),
        links=(*((Link("Open", url),) if url else ()), *_run_link(event, platform_url)),
    )


def _failed(event: EnvironmentFailed, platform_url: str) -> Announcement:
    data = event.data
    attempts = f" after {data.failure.attempts} attempts" if data.failure.attempts > 1 else ""
    reason: tuple[Piece, ...] = (f"The {data.failure.step} step failed{attempts}: ", Told(data.failure.message))
    next_step: tuple[Piece, ...] = ("Next step: ", Told(data.failure.next_step))
    state = "Nothing is left behind." if not data.left_behind else "Not everything could be undone."
    if not data.created and not data.left_behind:
        state = "Nothing had been created."
    closing: tuple[Piece, ...] = (f"{state} It took {duration(data.duration_seconds)}.",)
    return Announcement(
        tone="bad",
        title=f"{event.subject} failed",
        paragraphs=(reason, next_step, closing),
        facts=_facts(data.spec),
        items=(*_resources("Undone", data.undone), *_left_behind(data.left_behind)),
        links=_run_link(event, platform_url),
    )


def _deleted(event: EnvironmentDeleted, platform_url: str) -> Announcement:
    data = event.data
    state = "Nothing is left of it." if not data.left_behind else "Not everything could be removed."
    closing: tuple[Piece, ...] = (f"{state} It took {duration(data.duration_seconds)}.",)
    return Announcement(
        tone="gone",
        title=f"{event.subject} is deleted",
        paragraphs=(closing,),
        facts=_facts(data.spec),
        items=(*_resources("Removed", data.removed), *_left_behind(data.left_behind)),
        links=_run_link(event, platform_url),
    )


def _stalled(event: RunStalled, platform_url: str) -> Announcement:
    waited = duration(event.data.waiting_seconds)
    return Announcement(
        tone="waiting",
        title=f"{event.subject} is stuck",
        paragraphs=(
            (f"The {event.data.step} step has made no progress for {waited}.",),
            ("Next step: look at the run, then cancel or retry it.",),
        ),
        facts=_facts(event.data.spec),
        links=_run_link(event, platform_url),
    )


def _facts(spec: EnvironmentSpec) -> tuple[Fact, ...]:
    until = f", until {moment(spec.expires_at)}" if spec.expires_at else ""
    return (
        Fact("Owner", (Told(spec.owner.person), " (", Told(spec.owner.team), ")")),
        Fact("Kind", (f"{spec.kind}{until}",)),
        Fact("Golden path", (Told(f"{spec.golden_path} {spec.golden_path_version}"),)),
    )


def _resources(heading: str, resources: tuple[Resource, ...]) -> tuple[Items, ...]:
    return _items(heading, tuple((_words(r.kind), " ", Told(r.id)) for r in resources))


def _left_behind(left: tuple[LeftBehind, ...]) -> tuple[Items, ...]:
    lines = tuple((_words(i.resource.kind), " ", Told(i.resource.id), ": ", Told(i.reason)) for i in left)
    return _items("Left behind", lines)


def _items(heading: str, lines: tuple[tuple[Piece, ...], ...]) -> tuple[Items, ...]:
    if not lines:
        return ()
    return (Items(heading, lines[:ITEMS_SHOWN], max(0, len(lines) - ITEMS_SHOWN)),)


def _words(kind: str) -> Told:
    return Told(kind.replace("_", " "))


def _run_link(event: Announced, platform_url: str) -> tuple[Link, ...]:
    return (Link("See the run", f"{platform_url.rstrip('/')}/runs/{event.run_id}"),) if platform_url else ()


def _without_scheme(url: str) -> str:
    return url.partition("://")[2].rstrip("/") or url


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
