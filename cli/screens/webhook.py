"""What webhooks and their deliveries look like to a person."""

from collections.abc import Iterable
from typing import Final

from rich.text import Text

from cli.gateway import Json
from cli.output import Column, Output
from cli.wording import ago, one_line, seconds, state, when

SHORT_ID: Final = 8
COLUMNS: Final = (
    Column("WEBHOOK"), Column("STATE"), Column("TEAM", spare=3), Column("TOLD OF", spare=4), Column("LAST", spare=2),
    Column("WHAT FOR", spare=5), Column("URL", prose=True),
)  # fmt: skip
DELIVERY_COLUMNS: Final = (
    Column("DELIVERY"), Column("STATE"), Column("EVENT"), Column("ENVIRONMENT", spare=1), Column("WHEN", spare=2),
    Column("TRIED", spare=4), Column("NEXT", spare=3), Column("ANSWER", prose=True),
)  # fmt: skip
_LONGEST_ANSWER: Final = 160


def row(hook: Json) -> list[str | Text]:
    """A webhook in a table of `COLUMNS`."""
    return [
        hook["id"][:SHORT_ID], state(hook["state"]), hook["team"], _told_of(hook), ago(hook["delivered_at"]) or "never",
        hook["description"], hook["url"],
    ]  # fmt: skip


def facts(hook: Json) -> Iterable[tuple[str, str | Text | None]]:
    """A webhook, line by line."""
    yield "webhook", hook["id"]
    yield "url", hook["url"]
    yield "state", state(hook["state"])
    yield "why", hook["state_reason"]
    yield "team", hook["team"]
    yield "told of", ", ".join(hook["kinds"]) or "every event"
    yield "environment", hook["environment"]
    yield "golden path", hook["golden_path"]
    yield "what for", hook["description"]
    yield "arrived", when(hook["delivered_at"]) or "never"
    yield "failing", f"since {when(hook['failing_since'])}" if hook["failing_since"] else None
    yield "secret", f"number {hook['generation']}, since {when(hook['rotated_at'] or hook['created_at'])}"
    yield "made", f"{when(hook['created_at'])} by {hook['created_by']}"


def delivery(one: Json) -> list[str | Text]:
    """A delivery in a table of `DELIVERY_COLUMNS`."""
    last = one["attempts"][-1] if one["attempts"] else None
    return [
        one["id"][:SHORT_ID], state(one["state"]), one["kind"], one["environment"] or "", ago(one["created_at"]),
        str(one["attempt_count"]), ago(one["next_attempt_at"]), _answer(last) if last else "",
    ]  # fmt: skip


def attempt(output: Output, one: Json) -> None:
    """What came back, on one line."""
    output.say(state("failed" if one["error"] else "delivered"), f"  {_answer(one)}")


def _told_of(hook: Json) -> str:
    kinds = hook["kinds"]
    what = "every event" if not kinds else kinds[0] if len(kinds) == 1 else f"{len(kinds)} events"
    where = hook["environment"] or hook["golden_path"]
    return f"{what} of {where}" if where else what


def _answer(one: Json) -> str:
    status = f"HTTP {one['status_code']}" if one["status_code"] else one["error"]
    said = one_line(one["answer"])
    shown = said if len(said) <= _LONGEST_ANSWER else f"{said[:_LONGEST_ANSWER]}…"
    return "  ".join(word for word in (status, seconds(one["duration_seconds"]), shown) if word)
