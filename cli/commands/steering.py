"""cancel, retry: steering a run, named by its environment or by its id."""

import typer

from cli.commands.arguments import NameOrRun, NoWait
from cli.commands.finding import find_run
from cli.failures import CommandError
from cli.following import accepted, asking, finish, usual_seconds, watched
from cli.gateway import doing
from cli.screens import run as screen
from cli.session import session

_DEEDS = {"create": "Creating", "update": "Updating", "delete": "Deleting"}


def cancel(context: typer.Context, name: NameOrRun, no_wait: NoWait = False) -> None:
    """Call off a run that is under way: it stops at the next safe point, and undoes what it did."""
    here = session(context)
    run = find_run(here, name)
    with asking(run["environment"]):
        run = here.gateway.post(doing("cancel", "runs", run["id"]))
    if no_wait:
        accepted(here, {"environment": {"name": run["environment"]}, "run": run})
        return
    ended = watched(here, run, f"Calling off the run of {run['environment']}")
    if here.output.for_programs:
        here.output.document({"environment": ended.environment, "run": ended.run})
    if ended.succeeded:
        raise CommandError(
            f"The run of {run['environment']} had done its work before it could be called off.",
            remedy=f"See it: slipway show {run['environment']}",
        )
    if not here.output.for_programs:
        screen.called_off(here.output, ended.run, ended.verdict, ended.environment)


def retry(context: typer.Context, name: NameOrRun, no_wait: NoWait = False) -> None:
    """Begin a failed run anew, for the same desired state, and watch it."""
    here = session(context)
    run = find_run(here, name)
    with asking(run["environment"]):
        answer = here.gateway.post(doing("retry", "runs", run["id"]))
    if no_wait:
        accepted(here, answer)
        return
    usual = usual_seconds(here.gateway, run["golden_path"]) if run["kind"] == "create" else {}
    finish(here, answer["run"], f"{_DEEDS.get(run['kind'], 'Running')} {run['environment']} again", usual)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("cancel")(cancel)
    app.command("retry")(retry)
