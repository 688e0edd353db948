"""From an event to an announcement, to whom, and until when."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.events import (
    DriftDetected,
    EnvironmentDeleted,
    EnvironmentExpired,
    EnvironmentExpiring,
    EnvironmentFailed,
    EnvironmentReady,
    RunStalled,
)
from contracts.values import Owner
from services.notifier.domain import life, verdicts
from services.notifier.domain.announcements import Announcement

Announced = (
    EnvironmentReady
    | EnvironmentFailed
    | EnvironmentDeleted
    | RunStalled
    | EnvironmentExpiring
    | EnvironmentExpired
    | DriftDetected
)
"""The events that are announced."""


@dataclass(frozen=True)
class Channels:
    """Which channel a team reads."""

    default: str
    by_team: dict[str, str]

    def of(self, owner: Owner) -> str:
        """The channel's name without `#`."""
        return self.of_team(owner.team)

    def of_team(self, team: str) -> str:
        """The same of a team."""
        return self.by_team.get(team, self.default).removeprefix("#")


def is_stale(event: Announced, now: datetime, after: timedelta) -> bool:
    """Whether it is too late to begin telling anybody."""
    return now - event.time > after


def is_over(event: Announced, now: datetime) -> bool:
    """Whether what it warns of has happened, so that to tell it would be untrue, however long it was tried."""
    return isinstance(event, EnvironmentExpiring) and (event.data.expires_at is None or event.data.expires_at <= now)


def announce(event: Announced, platform_url: str, now: datetime) -> Announcement:  # noqa: PLR0911 - a case for each
    """What is said about `event` now; links lead into the portal at `platform_url`, if there is one."""
    match event:
        case EnvironmentReady():
            return verdicts.ready(event, platform_url)
        case EnvironmentFailed():
            return verdicts.failed(event, platform_url)
        case EnvironmentDeleted():
            return verdicts.deleted(event, platform_url)
        case RunStalled():
            return verdicts.stalled(event, platform_url)
        case EnvironmentExpiring():
            return life.expiring(event, platform_url, now)
        case EnvironmentExpired():
            return life.expired(event, platform_url, now)
        case DriftDetected():
            return life.drifted(event, platform_url)
