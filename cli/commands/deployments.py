"""deployments, rollback, logs: which versions of an application there are, going back to one, and what it prints."""

import time
from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.text import Text

from cli.commands import runs
from cli.commands.arguments import Name, NameOrRun
from cli.commands.finding import find_run
from cli.failures import AwayError, CommandError, Exit, ProblemError
from cli.gateway import Json, at
from cli.output import Column
from cli.session import Session, session
from cli.wording import ago, printable, seconds, state

_COLUMNS: Final = (
    Column("DEPLOYMENT", spare=3),
    Column("COMMIT"),
    Column("STATE"),
    Column("BY", spare=2),
    Column("WHEN", spare=1),
    Column("TOOK", spare=4),
    Column("", prose=True),
)
_SHORT_COMMIT: Final = 12
_RETRY_SECONDS: Final = 1.0
_CAUGHT_UP_LINES: Final = 1000
_NOT_HERE: Final = frozenset({404, 409})
"""Applications run elsewhere on this platform."""
_OVER: Final = frozenset({"succeeded"})


def deployments(context: typer.Context, name: Name) -> None:
    """List an environment's latest deployments, and what can be gone back to."""
    here = session(context)
    found = here.gateway.get(at("environments", name, "deployments"))
    if here.output.for_programs:
        here.output.document(found)
        return
    here.output.table(
        _COLUMNS, (_row(item, found) for item in found["items"]), empty="Nothing was deployed yet. Push to its branch."
    )
    if found["items"]:
        here.output.say(
            state(found["running"]), f"  {found['reason']}" if found["reason"] else "", "  ", _ways_back(name, found)
        )


def _row(item: Json, found: Json) -> list[str | Text]:
    kept = {release["deployment_id"] for release in found["releases"]}
    remark = "live" if item["live"] else item["reason"]
    if not remark and item["release_id"] in kept:
        remark = "kept"
    return [
        item["deployment_id"], item["commit"][:_SHORT_COMMIT], state(item["state"]), item["author"],
        ago(item["at"]), seconds(item["duration_seconds"]), remark,
    ]  # fmt: skip


def _ways_back(name: str, found: Json) -> str:
    others = [release["commit"][:_SHORT_COMMIT] for release in found["releases"] if not release["live"]]
    return f"Go back: slipway rollback {name} --to {others[0]}" if others else ""


def rollback(
    context: typer.Context,
    name: Name,
    to: Annotated[str | None, typer.Option(help="A commit (seven digits will do) or a deployment's id.")] = None,
) -> None:
    """Make an earlier version live again: the one before, or the one named. Nothing is built."""
    here = session(context)
    done = here.gateway.post(at("environments", name) + ":rollback", {"to": to} if to is not None else None)
    if here.output.for_programs:
        here.output.document(done)
        return
    before = f"; {done['previous'][:_SHORT_COMMIT]} was before" if done.get("previous") else ""
    here.output.say(state("succeeded"), f"  {done['commit'][:_SHORT_COMMIT]} is live again{before}.")
    here.output.say(done["url"] or f"slipway logs {name} -f")


def logs(
    context: typer.Context,
    name: NameOrRun,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each line as it comes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=5000, help="How many lines to begin with.")] = 100,
    run: Annotated[bool, typer.Option("--run", help="The log of its latest run, whatever runs there.")] = False,
    app: Annotated[bool, typer.Option("--app", help="The application's output, even during a run.")] = False,
) -> None:
    """Print what an application prints. While a run is under way, after one that failed, and for a run's id: the log of
    that run; with -f it exits as the run did."""
    here = session(context)
    if app or (not run and _is_settled(here, name)):
        _application(here, name, lines, follow=follow, fall_back=not app)
    else:
        runs.print_log(here, name, follow=follow)


def _is_settled(here: Session, name: str) -> bool:
    """Whether `name` is an environment's, and its latest run succeeded: then it is the application that people mean."""
    run = find_run(here, name)
    return bool(run["environment"] == name and run["state"] in _OVER and run["kind"] != "delete")


def _application(here: Session, name: str, lines: int, *, follow: bool, fall_back: bool) -> None:
    path = at("environments", name, "logs")
    try:
        items = here.gateway.get(path, lines=lines)["items"]
    except ProblemError as problem:
        if not fall_back or problem.status not in _NOT_HERE:
            raise
        items = None
    if not items and fall_back and _nothing_deployed(here, name):
        here.output.note("Nothing is deployed yet; this is the log of its latest run.\n")
        runs.print_log(here, name, follow=follow)
        return
    if here.output.for_programs and not follow:
        here.output.document(items or [])
        return
    if not items and not follow:
        here.output.note("It has printed nothing.")
    try:
        for item in _following(here, path, items or [], follow=follow):
            _print(here, item)
    except KeyboardInterrupt:
        raise CommandError("Interrupted.", remedy="The application goes on.", code=Exit.INTERRUPTED) from None


def _nothing_deployed(here: Session, name: str) -> bool:
    try:
        return not here.gateway.get(at("environments", name, "deployments"))["items"]
    except ProblemError as problem:
        if problem.status not in _NOT_HERE:
            raise
        return True


def _print(here: Session, item: Json) -> None:
    if here.output.for_programs:
        here.output.item(item)
        return
    head = f"{item['time'][11:19]} {item['release']:<8}"
    style = {"err": "red", "run": "bold"}.get(item["stream"], "dim")
    here.output.hang((f"{head}  ", style), printable(item["text"]))


def _following(here: Session, path: str, known: list[Json], *, follow: bool) -> Iterator[Json]:
    """The lines that are known, and then each one as it comes; where the connection breaks, what was missed."""
    yield from known
    last = known[-1]["time"] if known else ""
    lines = len(known)
    while follow:
        try:
            for event in here.gateway.events(path, follow="true", lines=max(lines, 1)):
                if event.event == "line" and event.data["time"] > last:
                    last = event.data["time"]
                    yield event.data
        except AwayError as error:
            here.output.note(f"{error} Trying again.")
        lines = _CAUGHT_UP_LINES
        time.sleep(_RETRY_SECONDS)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("deployments")(deployments)
    app.command("rollback")(rollback)
    app.command("logs")(logs)
