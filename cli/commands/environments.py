"""create, ls, show, open, secrets, rm: environments, from the first day to the last."""

import json
import sys
import webbrowser
from typing import Annotated, NoReturn

import typer

from cli import completion
from cli.commands.arguments import Name, NoWait
from cli.failures import CommandError, Exit
from cli.following import accepted, asking, finish, usual_seconds
from cli.gateway import Json, at
from cli.output import Column
from cli.screens import environment as screen
from cli.session import Session, session
from cli.wording import ago, thing

_STATES = ("creating", "updating", "ready", "undoing", "failed", "deleting", "deleted")
_KINDS = ("preview", "staging", "production")


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A DNS label of at most 40 characters: a-z, 0-9 and single hyphens.")],
    template: Annotated[
        str,
        typer.Option(
            "--template", "-t", help="The golden path: see `slipway templates`.", autocompletion=completion.golden_paths
        ),
    ],
    branch: Annotated[
        str | None, typer.Option("--branch", "-b", help="The branch to deploy; the golden path's default if left out.")
    ] = None,
    repo: Annotated[str | None, typer.Option(help="owner/name of the repository; made new if left out.")] = None,
    kind: Annotated[
        str | None, typer.Option(help=f"{', '.join(_KINDS)}; the golden path's default.", autocompletion=lambda: _KINDS)
    ] = None,
    team: Annotated[str | None, typer.Option(help="The team that owns it; yours if you have one.")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", envvar="SLIPWAY_CREATE_SET", help="A parameter as key=value; may be repeated."),
    ] = None,
    no_wait: NoWait = False,
) -> None:
    """Create an environment and watch it become ready."""
    here = session(context)
    asked = {"branch": branch, "repository": repo, "kind": kind, "team": team}
    body: Json = {"name": name, "golden_path": template} | {key: value for key, value in asked.items() if value}
    if parameters:
        body["parameters"] = dict(_parameter(text) for text in parameters)
    with asking(name):
        answer = here.gateway.post(at("environments"), body)
    if no_wait:
        accepted(here, answer)
    else:
        finish(here, answer["run"], f"Creating {name} from {template}", usual_seconds(here.gateway, template))


def _parameter(text: str) -> tuple[str, object]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise CommandError(f"{text!r} is no parameter.", remedy="Write --set key=value.", code=Exit.USAGE)
    try:
        return key, json.loads(value, parse_constant=_no_number)
    except ValueError:
        return key, value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is a word, whatever Python thinks")


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
    git: Annotated[bool, typer.Option("--git", help="Name the commit that is applied.")] = False,
) -> None:
    """Show one environment."""
    here = session(context)
    environment = here.gateway.get(at("environments", name))
    if here.output.for_programs:
        here.output.document(environment)
    else:
        screen.page(here.output, environment, show_git=git)


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


def rm(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (on a terminal).")] = False,
    confirm: Annotated[str | None, typer.Option(help="The name once more: needed off a terminal.")] = None,
    no_wait: NoWait = False,
) -> None:
    """Delete an environment and everything that was made for it."""
    here = session(context)
    _confirm(here, name, yes=yes, confirm=confirm)
    with asking(name):
        answer = here.gateway.delete(at("environments", name))
    if no_wait:
        accepted(here, answer)
    else:
        finish(here, answer["run"], f"Deleting {name}")


def _confirm(here: Session, name: str, *, yes: bool, confirm: str | None) -> None:
    if confirm is not None and confirm != name:
        raise CommandError(
            f"--confirm says {confirm}, not {name}.",
            remedy=f"Say --confirm {name} if you mean it. Nothing was changed.",
            code=Exit.USAGE,
        )
    if confirm == name:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            f"Deleting {name} needs its name once more, for nobody can be asked here.",
            remedy=f"Add --confirm {name}. Nothing was changed.",
            code=Exit.USAGE,
        )
    if yes:
        return
    _what_goes(here, here.gateway.get(at("environments", name)))
    if typer.prompt("Type its name to delete it", err=True).strip() != name:
        raise CommandError("This is not its name.", remedy="Nothing was changed.", code=Exit.REFUSED)


def _what_goes(here: Session, environment: Json) -> None:
    owner, pipeline = environment["owner"], environment.get("pipeline") or {}
    note = here.output.note
    note(
        (environment["name"], "bold"),
        f": {environment['kind']}, {environment['state']}, of {owner['person']} and team {owner['team']},"
        f" last changed {ago(environment['updated_at'])}. This goes:",
    )
    for resource in (environment.get("infrastructure") or {}).get("resources", ()):
        note(f"  {thing(resource)}", (" with its data" if resource["kind"] == "database" else "", "yellow"))
    if secrets_ := environment.get("secrets"):
        note(f"  secrets {secrets_['path']} and access of {secrets_['access_group']}")
    if pipeline.get("workflow_path"):
        note(f"  workflow {pipeline['workflow_path']} in {environment['repository']}")
    if pipeline.get("origin") == "created":
        note(f"  repository {environment['repository']}, unless it holds work of yours")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("create")(create)
    app.command("ls")(ls)
    app.command("show")(show)
    app.command("open")(open_)
    app.command("secrets")(secrets)
    app.command("rm")(rm)
