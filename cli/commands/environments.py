"""create, ls, show, open, secrets, rm, templates: environments and the golden paths they are made from."""

import json
import sys
import webbrowser
from typing import Annotated

import typer
from rich.text import Text

from cli.failures import CommandError, Exit
from cli.gateway import Json
from cli.output import ago, seconds, state
from cli.session import Session, session
from cli.summaries import environment_facts, failure, next_commands
from cli.watching import usual_seconds, watch

Name = Annotated[str, typer.Argument(help="The environment's name.")]


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A DNS label of at most 40 characters: a-z, 0-9 and single hyphens.")],
    template: Annotated[str, typer.Option("--template", "-t", help="The golden path: see `slipway templates`.")],
    branch: Annotated[
        str | None, typer.Option(help="The branch to deploy; the golden path's default if left out.")
    ] = None,
    repo: Annotated[str | None, typer.Option(help="owner/name of the repository; made new if left out.")] = None,
    kind: Annotated[str | None, typer.Option(help="preview, staging or production.")] = None,
    team: Annotated[str | None, typer.Option(help="The team that owns it; yours if you have one.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A parameter as key=value; may be repeated.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the run's id and return.")] = False,
) -> None:
    """Create an environment and watch it become ready."""
    here = session(context)
    body: Json = {"name": name, "golden_path": template}
    body |= {
        key: value for key, value in (("branch", branch), ("repository", repo), ("kind", kind), ("team", team)) if value
    }
    if set_:
        body["parameters"] = dict(_parameter(text) for text in set_)
    accepted = here.gateway.post("/api/v1/environments", body)
    if no_wait:
        _accepted(here, accepted)
        return
    usual = usual_seconds(here.gateway, template)
    expected = f", usually {seconds(usual['total'])}" if usual.get("total") else ""
    here.output.progress.print(Text(f"Creating {name} from {template}{expected}. Ctrl-C leaves it running."))
    finish(here, accepted["run"], usual)


def finish(here: Session, run: Json, usual: dict[str, float]) -> None:
    """Follow a run to its end and print what came of it. Raises CommandError where it failed."""
    try:
        progress = watch(here.gateway, here.output, run, usual=usual)
    except KeyboardInterrupt:
        here.output.progress.print(
            Text(f"\nThe run goes on. Watch it again with: slipway logs {run['environment']} -f")
        )
        raise typer.Exit(Exit.INTERRUPTED) from None
    verdict = progress.verdict or here.gateway.get(f"/api/v1/runs/{run['id']}")
    environment = here.gateway.get(f"/api/v1/environments/{run['environment']}")
    succeeded = verdict["state"] == "succeeded"
    if here.output.for_programs:
        here.output.document({"environment": environment, "run": here.gateway.get(f"/api/v1/runs/{run['id']}")})
    elif not succeeded:
        failure(here.output, verdict)
        here.output.result.print(Text(f"Trace: slipway trace {run['environment']}"))
    elif run["kind"] == "delete":
        _deleted(here, run, verdict)
    else:
        here.output.result.print()
        ended = here.gateway.get(f"/api/v1/runs/{run['id']}")
        more = (("trace", ended.get("links", {}).get("trace")), ("took", seconds(verdict.get("duration_seconds"))))
        environment_facts(here.output, environment, more)
        next_commands(here.output, environment)
    if not succeeded:
        raise typer.Exit(Exit.FAILED)


def _deleted(here: Session, run: Json, verdict: Json) -> None:
    failure(here.output, verdict)
    took = seconds(verdict.get("duration_seconds"))
    here.output.result.print(Text(f"○ {run['environment']} is deleted ({took}); its name is free again."))


def _accepted(here: Session, accepted: Json) -> None:
    if here.output.for_programs:
        here.output.document(accepted)
    else:
        here.output.result.print(accepted["run"]["id"])
        name = accepted["environment"]["name"]
        here.output.progress.print(Text(f"Accepted. Watch it with: slipway logs {name} -f"))


def _parameter(text: str) -> tuple[str, object]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise CommandError(f"{text!r} is no parameter.", remedy="Write --set key=value.", code=Exit.USAGE)
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def ls(
    context: typer.Context,
    team: Annotated[str | None, typer.Option(help="Only this team's.")] = None,
    state_: Annotated[str | None, typer.Option("--state", help="Only these: ready, creating, failed, …")] = None,
    template: Annotated[str | None, typer.Option("--template", "-t", help="Only of this golden path.")] = None,
    query: Annotated[str | None, typer.Option("--query", "-q", help="Only names that contain this.")] = None,
    all_: Annotated[bool, typer.Option("--all", "-a", help="Deleted ones as well.")] = False,
) -> None:
    """List environments."""
    here = session(context)
    filters = {"team": team, "state": state_, "golden_path": template, "q": query, "include_deleted": str(all_).lower()}
    items = list(here.gateway.every("/api/v1/environments", **filters))
    if here.output.for_programs:
        here.output.document(items)
        return
    rows: list[list[str | Text]] = [
        [
            item["name"], state(item["state"]), item["kind"], item["golden_path"], item["owner"]["team"],
            ago(item["created_at"]), ago(item.get("expires_at")), item.get("url") or "",
        ]
        for item in items
    ]  # fmt: skip
    columns = ("NAME", "STATE", "KIND", "GOLDEN PATH", "TEAM", "CREATED", "EXPIRES", "URL")
    here.output.table(columns, rows, empty="No environments yet. Create one: slipway create NAME --template nodejs-api")


def show(
    context: typer.Context,
    name: Name,
    git: Annotated[bool, typer.Option("--git", help="Name the commit that is applied.")] = False,
) -> None:
    """Show one environment."""
    here = session(context)
    environment = here.gateway.get(f"/api/v1/environments/{name}")
    if here.output.for_programs:
        here.output.document(environment)
    else:
        environment_facts(here.output, environment, show_git=git)
        if environment["state"] == "ready":
            next_commands(here.output, environment)


def open_(context: typer.Context, name: Name) -> None:
    """Open an environment's URL in the browser, and print it."""
    here = session(context)
    url = here.gateway.get(f"/api/v1/environments/{name}").get("url")
    if not url:
        raise CommandError(f"{name} has no URL.", remedy=f"`slipway show {name}` tells its state.", code=Exit.FAILED)
    here.output.result.print(url)
    if sys.stdout.isatty():
        webbrowser.open(url)


def secrets(context: typer.Context, name: Name) -> None:
    """Name an environment's secrets, and say where their values are."""
    here = session(context)
    found = here.gateway.get(f"/api/v1/environments/{name}").get("secrets")
    if here.output.for_programs:
        here.output.document(found)
        return
    if not found:
        raise CommandError(f"{name} has no secrets yet.", remedy=f"`slipway show {name}` tells its state.")
    rows: list[list[str | Text]] = [[secret, found["path"], str(found["version"])] for secret in found["names"]]
    if role := found.get("database_role"):
        rows.append(["database credentials", f"database/creds/{role}", "leased"])
    here.output.table(("NAME", "PATH IN OPENBAO", "VERSION"), rows, empty="No secrets.")


def rm(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    confirm: Annotated[str | None, typer.Option(help="The name once more; needed off a terminal without -y.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the run's id and return.")] = False,
) -> None:
    """Delete an environment and everything that was made for it."""
    here = session(context)
    environment = here.gateway.get(f"/api/v1/environments/{name}")
    if not yes and confirm != name:
        if not sys.stdin.isatty() or confirm is not None:
            raise CommandError(
                f"Deleting {name} needs its name once more.", remedy=f"Add --confirm {name}.", code=Exit.USAGE
            )
        resources = (environment.get("infrastructure") or {}).get("resources", [])
        for resource in resources:
            here.output.progress.print(Text(f"  {resource['kind']} {resource['id']}"))
        typer.confirm(f"Delete {name} and these {len(resources)} things?", abort=True, err=True)
    accepted = here.gateway.delete(f"/api/v1/environments/{name}")
    if no_wait:
        _accepted(here, accepted)
    else:
        finish(here, accepted["run"], {})


def templates(
    context: typer.Context, name: Annotated[str | None, typer.Argument(help="One golden path.")] = None
) -> None:
    """List the golden paths, or show one with its parameters."""
    here = session(context)
    if name:
        here.output.document(here.gateway.get(f"/api/v1/golden-paths/{name}"))
        return
    items = here.gateway.get("/api/v1/golden-paths")["items"]
    if here.output.for_programs:
        here.output.document(items)
        return
    rows: list[list[str | Text]] = [
        [item["name"], item["version"], ", ".join(item["kinds"]), item["owner"], item["title"]] for item in items
    ]
    here.output.table(("NAME", "VERSION", "KINDS", "OWNER", "WHAT IT IS"), rows, empty="No golden paths are installed.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("create")(create)
    app.command("ls")(ls)
    app.command("show")(show)
    app.command("open")(open_)
    app.command("secrets")(secrets)
    app.command("rm")(rm)
    app.command("templates")(templates)
