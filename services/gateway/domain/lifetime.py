"""How long an environment lives: what a person may change of its end. Pure.

Invariants
- Extending never makes an end come sooner, and never goes beyond the cap, which is counted from the creation.
- Keeping takes the end away and says why; it is the only way past the cap.
"""

from datetime import datetime, timedelta
from typing import Final

from pydantic import Field, field_validator

from contracts.events import Expiry
from contracts.golden_path import GoldenPath, TimeToLive
from contracts.queries import EnvironmentView
from contracts.values import EnvironmentSpec, Kind
from services.gateway.domain.admission import Ask, Defaults, TimeFromNow
from services.gateway.domain.changes import end_of
from services.gateway.domain.refusals import BrokenRule, InvalidError

_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
LEAST_AFTER_KEEPING: Final = timedelta(days=1)
"""What is left, at least, of an environment that is not kept any more: time to be warned, and to extend it."""


class ExtendEnvironment(Ask):
    """Until when, counted from now."""

    ttl: TimeFromNow = Field(description="A number and m, h, d or w: minutes, hours, days or weeks from now")


class KeepEnvironment(Ask):
    """Why it shall have no end."""

    reason: str = Field(min_length=1, max_length=500)

    @field_validator("reason")
    @classmethod
    def _says_something(cls, reason: str) -> str:
        if not reason.strip() or not reason.isprintable():
            raise ValueError("must be one line that says something, without control characters")
        return reason.strip()


def lifetime(path: GoldenPath | None, kind: Kind, defaults: Defaults) -> TimeToLive | None:
    """How long environments of this kind live; None where they have no end."""
    found = path.defaults.time_to_live.get(kind) if path is not None else None
    if found is None and kind == "preview":
        return TimeToLive(days=defaults.preview_days, max_days=max(defaults.preview_days, defaults.preview_most_days))
    return found


def first_end(
    spec: EnvironmentSpec, path: GoldenPath | None, ttl: str | None, now: datetime, defaults: Defaults
) -> datetime | None:
    """The end of a new environment: the one that `ttl` asks for, or the one that `spec` has. Raises `InvalidError`."""
    if ttl is None:
        return spec.expires_at
    known = lifetime(path, spec.kind, defaults)
    if known is None:
        raise InvalidError([BrokenRule("ttl", f"means nothing here: environments of kind {spec.kind} have no end")])
    wanted = _from_now(ttl)
    if wanted > timedelta(days=known.max_days):
        raise InvalidError([BrokenRule("ttl", f"must be {known.max_days}d at most for kind {spec.kind}")])
    return now + wanted


def extended(view: EnvironmentView, path: GoldenPath | None, ttl: str, now: datetime, defaults: Defaults) -> datetime:
    """The end that `ttl` asks for. Raises `InvalidError` where it may not be."""
    if view.kept_because is not None:
        raise InvalidError([BrokenRule("ttl", "means nothing while the environment is kept; let it go first (unkeep)")])
    known, before = lifetime(path, view.spec.kind, defaults), end_of(view)
    if known is None or before is None:
        raise InvalidError([BrokenRule("ttl", "means nothing here: environments of this kind have no end")])
    wanted = now + _from_now(ttl)
    cap = view.created_at + timedelta(days=known.max_days)
    if wanted < before:
        raise InvalidError([BrokenRule("ttl", f"must be more than {_words(before - now)}, which it has left")])
    if wanted > cap:
        rule = f"must be {_words(cap - now)} at most: it may live {known.max_days} days from its creation"
        raise InvalidError([BrokenRule("ttl", rule if cap > before else f"{rule}. Keep it, with a reason, instead")])
    return wanted


def let_go(view: EnvironmentView, path: GoldenPath | None, now: datetime, defaults: Defaults) -> datetime | None:
    """The end of an environment that is not kept any more; None where its kind has none."""
    known = lifetime(path, view.spec.kind, defaults)
    if known is None:
        return None
    usual = min(now + timedelta(days=known.days), view.created_at + timedelta(days=known.max_days))
    return max(usual, now + LEAST_AFTER_KEEPING)


def expiry(view: EnvironmentView, expires_at: datetime | None, by: str, reason: str = "") -> Expiry:
    """What is said of an environment's new end."""
    spec = view.spec.model_copy(update={"expires_at": expires_at})
    return Expiry(spec=spec, expires_at=expires_at, requested_by=by, reason=reason)


def _from_now(ttl: str) -> timedelta:
    return int(ttl[:-1]) * _UNITS[ttl[-1]]


def _words(left: timedelta) -> str:
    minutes = max(0, int(left.total_seconds() // 60))
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "m"))
    return " ".join(f"{number}{unit}" for number, unit in parts if number) or "0m"
