"""runs, logs, trace: what happened, what is happening, and how long each part took."""

from typing import Annotated

import typer
from rich.text import Text

from cli.commands.environments import finish
from cli.failures import CommandError, Exit
from cli.gateway import Json
from cli.session import Session, session
from cli.summaries import run_row
from cli.watching import Progress, usual_seconds
from cli.waterfall import WIDE, fetch, render

_CAUGHT_UP_SECONDS = 1.0


def runs(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this environment's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
) -> None:
    """List runs, the newest first."""
    here = session(context)
    path = f"/api/v1/environments/{name}/runs" if name else "/api/v1/runs"
    items = here.gateway.get(path, limit=limit)["items"]
    if here.output.for_programs:
        here.output.document(items)
        return
    columns = ("RUN", "ENVIRONMENT", "KIND", "STATE", "BY", "WHEN", "TOOK", "TRACE")
    here.output.table(columns, (run_row(run) for run in items), empty="No runs yet.")


def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The environment's name, or a run's id.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
) -> None:
    """Print the log of an environment's latest run."""
    here = session(context)
    run = _latest_run(here, name)
    if follow and run["state"] not in {"succeeded", "failed"}:
        finish(here, run, usual_seconds(here.gateway, run["golden_path"]))
        return
    events = here.gateway.stream(run["id"], idle_seconds=_CAUGHT_UP_SECONDS)
    if here.output.for_programs:
        here.output.document([{"id": event.id, "event": event.event, **event.data} for event in events])
        return
    progress = Progress(run["environment"], {})
    for event in events:
        for line in progress.apply(event):
            here.output.result.print(Text(line))
    if progress.verdict:
        here.output.result.print(Text(f"{run['environment']}: {progress.verdict['state']}"))


def trace(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The environment's name, a run's id, or a trace id.")],
) -> None:
    """Show the trace of an environment's latest run as a waterfall."""
    here = session(context)
    trace_id = name if len(name) == 32 and "-" not in name else _latest_run(here, name).get("trace_id")
    if not trace_id:
        raise CommandError("This run was not traced.", remedy="Tracing is off on this platform.", code=Exit.NOT_FOUND)
    traces_url = here.gateway.get("/api/v1/platform")["urls"].get("traces")
    if not traces_url:
        raise CommandError(
            "This platform names no trace store.", remedy=f"Look up trace {trace_id} where its spans go."
        )
    spans = fetch(traces_url, trace_id)
    if here.output.for_programs:
        here.output.document([span.__dict__ for span in spans])
        return
    # A pipe has no width: then lines are as long as the whole picture needs.
    width = here.output.result.width if here.output.result.is_terminal else WIDE
    here.output.result.print(render(spans, width), width=width if here.output.result.is_terminal else WIDE)
    services = len({span.service for span in spans})
    here.output.progress.print(Text(f"{len(spans)} spans, {services} services · {traces_url}/trace/{trace_id}"))


def _latest_run(here: Session, name: str) -> Json:
    if len(name) == 36 and name.count("-") == 4:
        return here.gateway.get(f"/api/v1/runs/{name}")
    environment = here.gateway.get(f"/api/v1/environments/{name}")
    return here.gateway.get(f"/api/v1/runs/{environment['run_id']}")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("runs")(runs)
    app.command("logs")(logs)
    app.command("trace")(trace)
