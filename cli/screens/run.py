"""What runs look like to a person: in a table, and when one has ended."""

from rich.text import Text

from cli.gateway import Json
from cli.output import Column, Output
from cli.screens import environment as environment_screen
from cli.wording import ago, seconds, seconds_between, state

COLUMNS = (
    Column("RUN"),
    Column("ENVIRONMENT"),
    Column("KIND", spare=1),
    Column("STATE"),
    Column("BY", spare=4),
    Column("WHEN", spare=2),
    Column("TOOK", spare=3),
    Column("TRACE", spare=5),
)
SHORT_ID = 8
"""As many characters of a run's id as a table shows, and as few as a command takes."""


def row(run: Json) -> list[str | Text]:
    """A run in a table of `COLUMNS`."""
    return [
        run["id"][:SHORT_ID], run["environment"], run["kind"], state(run["state"]), run["requested_by"],
        ago(run["requested_at"]), seconds(seconds_between(run["requested_at"], run.get("ended_at"))),
        run.get("trace_id") or "",
    ]  # fmt: skip


def verdict_line(output: Output, run: Json, verdict: Json) -> None:
    """The last line of a log: how the run ended."""
    reason = (verdict.get("failure") or {}).get("message", "")
    output.say(state(verdict["state"]), f"  {run['kind']} {run['environment']}{': ' if reason else ''}{reason}")


def ended(output: Output, run: Json, verdict: Json, environment: Json) -> None:
    """What came of a run: `verdict` is the last word of its stream, or the run itself where that was missed."""
    output.say()
    if verdict["state"] != "succeeded":
        _failed(output, run, verdict, environment)
    elif run["kind"] == "delete":
        environment_screen.leftovers(output, verdict, "removed")
        took = seconds(seconds_between(run["requested_at"], run["ended_at"]))
        output.say(state("deleted"), f" in {took}: the name {run['environment']} is free again.")
    else:
        environment_screen.page(output, environment, run)


def called_off(output: Output, run: Json, verdict: Json, environment: Json) -> None:
    """What came of a run that was called off."""
    output.say()
    environment_screen.leftovers(output, verdict, _undone(run))
    by, name = run.get("called_off_by"), run["environment"]
    output.say(("○ called off", "bold"), f" by {by}. " if by else ". ", f"{name} is {environment['state']}.")


def _undone(run: Json) -> str:
    """What undoing did to the things that it names."""
    return "put back" if run["kind"] == "update" else "undone"


def _failed(output: Output, run: Json, verdict: Json, environment: Json) -> None:
    name = run["environment"]
    if verdict.get("event") == "superseded":
        output.say(("✗ superseded", "bold red"), f": another run of {name} began meanwhile.")
        output.say("See it: ", (f"slipway show {name}", "bold"))
        return
    trace = run["links"].get("trace")
    output.facts([("run", run["links"].get("page")), ("trace", trace)])
    environment_screen.failure(output, verdict, _undone(run))
    if run["kind"] == "update" and environment["state"] == "ready":
        output.say(f"{name} is as it was before, and ready.")
    commands = (f"slipway logs {name}", f"slipway retry {name}", f"slipway trace {name}")
    output.say("Next: ", Text(" · ").join(Text(command, style="bold") for command in commands))
