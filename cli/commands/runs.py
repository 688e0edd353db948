"""runs, logs, trace: what happened, what is happening, and how long each part took."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer

from cli import completion
from cli.commands.finding import RUNS_A_PAGE, find_run
from cli.commands.past import instant
from cli.event_stream import LOST, ServerEvent
from cli.failures import CommandError, Exit
from cli.gateway import Json, at
from cli.progress import Progress
from cli.screens import run as screen
from cli.screens.live import line_words
from cli.screens.waterfall import fetch, render
from cli.session import Session, session


class State(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Kind(StrEnum):
    """What a run does."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_ENDED = frozenset({"succeeded", "failed"})


def runs(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Only this environment's.", autocompletion=completion.environments)
    ] = None,
    *,
    state: Annotated[State | None, typer.Option(help="Only runs in this state.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only runs of this kind.")] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", "-t", help="Only of this golden path.", autocompletion=completion.golden_paths),
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="PERSON", help="Only those that this person asked for.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that you asked for.")] = False,
    query: Annotated[str | None, typer.Option("-q", "--query", help="Only where the name contains this.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Asked for since: 2h, 7d, a time.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Asked for before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
) -> None:
    """List runs, the newest first."""
    if mine and by is not None:
        raise CommandError("--mine and --by exclude each other.", remedy="Give one of them.", code=Exit.USAGE)
    here = session(context)
    wanted = {
        "state": state.value if state else None,
        "kind": kind.value if kind else None,
        "golden_path": template,
        "person": here.gateway.get(at("me"))["person"] if mine else by,
        "q": query,
        "since": instant(since).isoformat() if since else None,
        "until": instant(until).isoformat() if until else None,
    }
    asked = {key: value for key, value in wanted.items() if value is not None}
    path = at("environments", name, "runs") if name and not asked else at("runs")
    if name and asked:
        asked["environment"] = name
    items = list(islice(here.gateway.every(path, page_size=min(limit, RUNS_A_PAGE), **asked), limit))
    if here.output.for_programs:
        here.output.document(items)
    else:
        here.output.table(screen.COLUMNS, (screen.row(run) for run in items), empty=_none(asked))


def _none(asked: Mapping[str, str]) -> str:
    """What to say where there is no run: which filters could be dropped."""
    filters = ", ".join(f"{name} {value}" for name, value in asked.items())
    return f"No run keeps all of this: {filters}. Leave one out." if filters else "No runs yet."


def print_log(here: Session, name: str, *, follow: bool) -> None:
    """Print the log of a run: an environment's latest, or the one named. With `follow` until the run ends; then exit as
    it did."""
    run = find_run(here, name)
    progress = Progress(run["environment"], run["kind"], run["requested_at"])
    try:
        events = here.gateway.follow(run["id"], until_caught_up=not follow)
        if here.output.for_programs:
            _documents(here, events, progress, one_by_one=follow)
        else:
            _lines(here, events, progress)
    except KeyboardInterrupt:
        ways_on = f"The run goes on: slipway logs {name} -f" if run["state"] not in _ENDED else ""
        raise CommandError("Interrupted.", remedy=ways_on, code=Exit.INTERRUPTED) from None
    _say_how_it_stands(here, name, run, progress)
    if follow and (progress.verdict or run)["state"] == "failed":
        raise typer.Exit(Exit.FAILED)


def _lines(here: Session, events: Iterator[ServerEvent], progress: Progress) -> None:
    for event in events:
        print_line = here.output.note if event is LOST else here.output.hang
        for line in progress.apply(event):
            print_line(*line_words(line))


def _documents(here: Session, events: Iterator[ServerEvent], progress: Progress, *, one_by_one: bool) -> None:
    """One document of all events, or as they come one of each: a stream has no end that a program could wait for."""
    known = []
    for event in events:
        progress.apply(event)
        if event is not LOST:
            known.append({"id": event.id, "event": event.event, "data": event.data})
        if one_by_one and known:
            here.output.item(known.pop())
    if not one_by_one:
        here.output.document(known)


def _say_how_it_stands(here: Session, name: str, run: Json, progress: Progress) -> None:
    verdict = progress.verdict
    if verdict is None:
        here.output.note(f"\nThe run is under way. Go on reading: slipway logs {name} -f")
    elif not here.output.for_programs:
        screen.verdict_line(here.output, run, verdict)


def trace(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="The environment's name, a run's id, or a trace id.", autocompletion=completion.environments
        ),
    ],
) -> None:
    """Show the trace of an environment's latest run as a waterfall."""
    here = session(context)
    trace_id = name if _TRACE_ID.fullmatch(name) else find_run(here, name).get("trace_id")
    if not trace_id:
        raise CommandError("This run was not traced.", remedy="Tracing is off on this platform.", code=Exit.NOT_FOUND)
    traces_url = here.gateway.get(at("platform"))["urls"].get("traces")
    if not traces_url:
        raise CommandError(
            "This platform names no trace store.", remedy=f"Look up trace {trace_id} where its spans go."
        )
    spans = fetch(traces_url, trace_id)
    if here.output.for_programs:
        here.output.document([span.__dict__ for span in spans])
        return
    for line in render(spans, here.output.columns):
        here.output.say(line)
    services, failed = len({span.service for span in spans}), sum(span.failed for span in spans)
    counts = f"{len(spans)} spans, {services} services" + (f", {failed} ✗ failed" if failed else "")
    here.output.say(counts)
    here.output.say(f"{traces_url.rstrip('/')}/trace/{trace_id}")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("runs")(runs)
    app.command("trace")(trace)
