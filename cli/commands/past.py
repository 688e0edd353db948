"""diff, and an environment as it was: what changed, and when."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cli.commands.arguments import Name
from cli.failures import CommandError, Exit
from cli.gateway import Json, at
from cli.output import Column
from cli.session import Session, session
from cli.wording import date_and_time

_AGO = re.compile(r"(\d{1,5})(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COLUMNS = (Column("FIELD"), Column("BEFORE", prose=True), Column("AFTER", prose=True))


def instant(text: str, now: datetime | None = None) -> datetime:
    """The instant that `2h` (ago), a local time or an RFC 3339 time names. Raises CommandError."""
    if ago := _AGO.fullmatch(text.strip()):
        return (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError(
            f"{text!r} is no time.", remedy='Write 2h, 7d, "2026-11-23 14:30" or an RFC 3339 time.', code=Exit.USAGE
        ) from None


def diff(
    context: typer.Context,
    name: Name,
    at_: Annotated[
        str,
        typer.Option(
            "--at", envvar="SLIPWAY_DIFF_AT", metavar="TIME", help="From when: 2h, 7d, a local time, RFC 3339."
        ),
    ] = "1d",
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Up to when; now where it is left out.")] = None,
) -> None:
    """Show what changed in an environment since a moment, or between two."""
    here = session(context)
    end = instant(until).isoformat() if until else None
    found = here.gateway.get(at("environments", name, "changes"), since=instant(at_).isoformat(), until=end)
    if here.output.for_programs:
        here.output.document(found)
        return
    here.output.note(f"{name} from {date_and_time(found['since'])} to {date_and_time(found['until'])}")
    rows = [[change["field"], _shown(change["before"]), _shown(change["after"])] for change in found["changes"]]
    here.output.table(_COLUMNS, rows, empty="Nothing changed.")


def as_it_was(here: Session, name: str, moment: str) -> Json:
    """An environment as the log had it at a moment, as `GET /environments/{name}` shows it."""
    found: Json = here.gateway.get(at("environments", name, "moment"), at=instant(moment).isoformat())
    environment: Json = found["environment"]
    return environment


def _shown(value: object) -> str:
    if value is None:
        return "(nothing)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("diff")(diff)
