"""What rollouts look like to a person: in a table, as they go, and when they have come to a halt."""

from collections.abc import Iterable
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from cli.gateway import Json
from cli.output import Column, Output
from cli.wording import ago, one_line, seconds, seconds_between, state, thing, when

SHORT_ID: Final = 8
COLUMNS: Final = (
    Column("ROLLOUT"),
    Column("GOLDEN PATH"),
    Column("VERSION"),
    Column("STATUS"),
    Column("UPGRADED", spare=1),
    Column("LEFT", spare=2),
    Column("FAILED", spare=2),
    Column("HELD", spare=4),
    Column("BY", spare=5),
    Column("WHEN", spare=3),
)
_MEMBER_COLUMNS: Final = (
    Column("ENVIRONMENT"),
    Column("STATE"),
    Column("BATCH", spare=1),
    Column("KIND", spare=3),
    Column("TEAM", spare=4),
    Column("FROM", spare=5),
    Column("FORESEEN", spare=2),
    Column("TOOK", spare=6),
    Column("WHY", prose=True),
)
_FORESEEN: Final = {
    "unchanged": "no change",
    "changed": "changes",
    "loses_data": "loses data",
    "refused": "refused",
}
_SHOWN: Final = 12
_LONGEST_REASON: Final = 160


def left(rollout: Json) -> int:
    """How many are still to be upgraded."""
    counts = rollout["counts"]
    return int(counts["pending"] + counts["begun"])


def row(rollout: Json) -> list[str | Text]:
    """A rollout in a table of `COLUMNS`."""
    counts = rollout["counts"]
    return [
        rollout["id"][:SHORT_ID], rollout["golden_path"], rollout["version"], state(rollout["status"]),
        str(counts["upgraded"]), str(left(rollout)), str(counts["failed"]), str(counts["held"]),
        rollout["requested_by"], ago(rollout["requested_at"]),
    ]  # fmt: skip


def rehearsal_words(rollout: Json) -> str:
    """What the rehearsal found: `5 environments: 1 unchanged, 3 changed, 1 would lose data`."""
    found = rollout["rehearsal"]
    words = [f"{found['unchanged']} unchanged", f"{found['changed']} changed", f"{found['loses_data']} would lose data"]
    words += [f"{found['refused']} cannot be upgraded"] if found["refused"] else []
    total = len(rollout["members"])
    return f"{total} environment{'' if total == 1 else 's'}: {', '.join(words)}"


def page(output: Output, rollout: Json) -> None:
    """A rollout with its environments, and at the end what to do next."""
    if rollout["members"]:
        output.facts(_facts(rollout))
        output.say()
        output.table(_MEMBER_COLUMNS, (_member(member) for member in rollout["members"]), empty="")
        output.say()
    last_line(output, rollout)


def rehearsal(output: Output, rollout: Json) -> None:
    """What the rehearsal found, for whoever is asked next: on standard error."""
    output.note((f"{rollout['golden_path']} {rollout['version']}", "bold"), f": {rehearsal_words(rollout)}.")
    for member in rollout["members"]:
        if member["state"] == "held":
            output.note(("  held back  ", "yellow"), f"{member['environment']}: {_shortened(member['reason'])}")
    going = [member for member in rollout["members"] if member["state"] == "pending"]
    for member in going[:_SHOWN]:
        lost = ", ".join(thing(item) for item in member["rehearsal"]["lost"])
        loss = (f"  {lost} loses its data", "bold red") if lost else ""
        output.note("  ", (_order(member), "dim"), f"  {member['environment']} ({member['kind']})", loss)
    if len(going) > _SHOWN:
        output.note(f"  … and {len(going) - _SHOWN} more")


def last_line(output: Output, rollout: Json) -> None:
    """How it stands, and the next command."""
    counts, short = rollout["counts"], rollout["id"][:SHORT_ID]
    words = f"{counts['upgraded']} upgraded"
    for key in ("failed", "held", "skipped"):
        words += f", {counts[key]} {'held back' if key == 'held' else key}" if counts[key] else ""
    words += f", {left(rollout)} left" if left(rollout) else ""
    if not rollout["members"]:
        output.say(state("done"), f": every environment of {rollout['golden_path']} has {rollout['version']} already.")
    elif rollout["rehearse_only"] and rollout["status"] == "done":
        output.say(("Rehearsal: ", "bold"), f"{rehearsal_words(rollout)}. Nothing was changed.")
    elif rollout["ended_at"] is None and rollout["status"] in {"paused", "stopped"}:
        output.say(state(rollout["status"]), f": {words}. Go on: slipway rollout {short} resume")
    elif rollout["status"] == "running":
        output.say(state("running"), f": {words}. Stop it: slipway rollout {short} pause")
    else:
        output.say(state(rollout["status"]), f": {words}.")


def view(rollout: Json) -> RenderableType:
    """A rollout as it goes."""
    counts = rollout["counts"]
    total = len(rollout["members"])
    over = total - left(rollout)
    rehearsed = sum(rollout["rehearsal"].values())
    head = Text.assemble((f"{rollout['golden_path']} {rollout['version']}", "bold"), f"  {rollout['phase']}  ")
    progress = f"{rehearsed} of {total} rehearsed" if rollout["phase"] == "rehearsal" else f"{over} of {total} done"
    lines = [head.append(progress).append(f", {counts['failed']} failed" if counts["failed"] else "")]
    shown = [one for one in rollout["members"] if one["state"] in {"failed", "begun"} or _waits(one)]
    lines += [
        Text.assemble("  ", state(member["state"]), f"  {member['environment']}  ", _why(member))
        for member in shown[:_SHOWN]
    ]
    if len(shown) > _SHOWN:
        lines.append(Text(f"  … and {len(shown) - _SHOWN} more", style="dim"))
    lines.append(Text("  Ctrl-C stops watching; the rollout goes on.", style="dim"))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines)


def news(before: Json | None, after: Json) -> Iterable[tuple[Text | str, ...]]:
    """What has happened between two looks, line by line."""
    known = {member["environment"]: member for member in (before or {}).get("members", ())}
    if before is not None and before["phase"] == "rehearsal" != after["phase"]:
        yield (f"Rehearsed: {rehearsal_words(after)}.",)
    for member in after["members"] if after["phase"] != "rehearsal" else ():
        earlier = known.get(member["environment"])
        if member["state"] not in {"pending", "held"} and (earlier is None or earlier["state"] != member["state"]):
            yield state(member["state"]), f"  {member['environment']}  ", _why(member)
    if (
        before is not None
        and before["status"] != after["status"]
        and after["reason"]
        and before["phase"] != "rehearsal"
    ):
        yield state(after["status"]), f"  {one_line(after['reason'])}"


def _waits(member: Json) -> bool:
    return bool(member["state"] == "pending" and member["reason"])


def _why(member: Json) -> str:
    took = seconds(seconds_between(member["begun_at"], member["ended_at"]))
    return one_line("  ".join(word for word in (took, _shortened(member["reason"])) if word))


def _shortened(reason: str) -> str:
    """The beginning of a reason: many often have the same, and programs are told it whole."""
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"


def _facts(rollout: Json) -> Iterable[tuple[str, str | Text | None]]:
    yield "rollout", rollout["id"]
    yield "golden path", f"{rollout['golden_path']} {rollout['version']}"
    yield "status", state(rollout["status"])
    yield "phase", None if rollout["ended_at"] else rollout["phase"]
    yield "why", rollout["reason"]
    yield "kinds", ", ".join(rollout["kinds"] or ())
    yield "rehearsal", rehearsal_words(rollout) if sum(rollout["rehearsal"].values()) else "not yet"
    yield "order", f"{rollout['canaries']} first, then {rollout['batch_size']} at a time"
    yield "begun", f"{when(rollout['requested_at'])} by {rollout['requested_by']}"
    yield "ended", when(rollout["ended_at"])


def _order(member: Json) -> str:
    return "canary  " if member["batch"] == 0 else f"batch {member['batch']}"


def _member(member: Json) -> list[str | Text]:
    foreseen = (member["rehearsal"] or {}).get("outcome")
    batch = "" if member["batch"] is None else "canary" if member["batch"] == 0 else str(member["batch"])
    return [
        member["environment"], state(member["state"]), batch, member["kind"], member["team"], member["version_before"],
        _FORESEEN.get(str(foreseen), ""), seconds(seconds_between(member["begun_at"], member["ended_at"])),
        _shortened(member["reason"]),
    ]  # fmt: skip
