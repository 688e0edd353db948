"""ls, show, open, secrets: environments as they are."""

import sys
import webbrowser
from typing import Annotated

import typer

from cli import completion
from cli.commands.arguments import Name
from cli.commands.past import as_it_was
from cli.failures import CommandError, Exit
from cli.gateway import at
from cli.output import Column
from cli.screens import environment as screen
from cli.session import session

_STATES = ("creating", "updating", "ready", "undoing", "failed", "deleting", "deleted")


def ls(
    context: typer.Context,
    team: Annotated[str | None, typer.Option(help="Only this team's.")] = None,
    in_state: Annotated[
        str | None,
        typer.Option(
            "--state",
            envvar="SLIPWAY_LS_STATE",
            help=f"Only these: {', '.join(_STATES)}.",
            autocompletion=lambda: _STATES,
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", "-t", help="Only of this golden path.", autocompletion=completion.golden_paths),
    ] = None,
    query: Annotated[str | None, typer.Option("--query", "-q", help="Only names that contain this.")] = None,
    with_deleted: Annotated[
        bool, typer.Option("--all", "-a", envvar="SLIPWAY_LS_ALL", help="Deleted ones as well.")
    ] = False,
) -> None:
    """List environments."""
    here = session(context)
    include_deleted = str(with_deleted or in_state == "deleted").lower()  # who names that state means to see them
    items = list(
        here.gateway.every(
            at("environments"),
            team=team,
            state=in_state,
            golden_path=template,
            q=query,
            include_deleted=include_deleted,
        )
    )
    if here.output.for_programs:
        here.output.document(items)
        return
    filtered = any((team, in_state, template, query))
    empty = "No environment is like this." if filtered else "No environments yet."
    here.output.table(
        screen.COLUMNS,
        (screen.row(item) for item in items),
        empty=f"{empty} Create one: slipway create NAME --template nodejs-api",
    )


def show(
    context: typer.Context,
    name: Name,
    git: Annotated[bool, typer.Option("--git", help="Name the commit that is applied, and where it is.")] = False,
    then: Annotated[
        str | None,
        typer.Option(
            "--at", envvar="SLIPWAY_SHOW_AT", metavar="TIME", help="As it was: 2h or 7d ago, a local time, RFC 3339."
        ),
    ] = None,
) -> None:
    """Show one environment, as it is or as it was."""
    here = session(context)
    environment = as_it_was(here, name, then) if then else here.gateway.get(at("environments", name))
    found = None
    if git:
        found = {
            "commit": (environment.get("infrastructure") or {}).get("commit"),
            "repository": here.gateway.get(at("platform"))["urls"].get("environments"),
            "directory": f"environments/{name}",
        }
    if here.output.for_programs:
        here.output.document(environment | ({"git": found} if found else {}))
    else:
        screen.page(here.output, environment, git=found)


def open_(context: typer.Context, name: Name) -> None:
    """Print an environment's URL, and open it in the browser where there is one."""
    here = session(context)
    environment = here.gateway.get(at("environments", name))
    url = environment.get("url") or ""
    if not url.startswith(("http://", "https://")):
        raise CommandError(
            f"{name} has no URL: it is {environment['state']}.", remedy=f"`slipway show {name}` tells more."
        )
    if here.output.for_programs:
        here.output.document({"url": url})
        return
    here.output.say(url)
    if sys.stdout.isatty():
        webbrowser.open(url)


def secrets(context: typer.Context, name: Name) -> None:
    """Name an environment's secrets, and say where their values are."""
    here = session(context)
    environment = here.gateway.get(at("environments", name))
    found = environment.get("secrets")
    if not found:
        raise CommandError(
            f"{name} has no secrets: it is {environment['state']}.",
            remedy=f"`slipway show {name}` tells more.",
            code=Exit.NOT_FOUND,
        )
    if here.output.for_programs:
        here.output.document(found)
        return
    rows = [[secret, found["path"], str(found["version"])] for secret in found["names"]]
    role = found.get("database_role")
    if role:
        rows.append(["database login", f"database/creds/{role}", "leased"])
    here.output.table(
        (Column("NAME"), Column("PATH IN OPENBAO"), Column("VERSION", spare=1)), rows, empty=f"{name} has no secrets."
    )
    here.output.note(f"\nMembers of {found['access_group']} read the values with:")
    here.output.note(f"  bao kv get {found['path']}")
    if role:
        here.output.note(f"  bao read database/creds/{role}")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("ls")(ls)
    app.command("show")(show)
    app.command("open")(open_)
    app.command("secrets")(secrets)
