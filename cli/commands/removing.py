"""rm: taking environments away, one by its name or many by their number.

Invariant: what would take away more than one environment is asked for by how many they are, and never means all of a
platform.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from cli import completion
from cli.commands.arguments import NoWait, Yes
from cli.commands.confirming import Assent, by_count, by_name
from cli.commands.creating import KINDS
from cli.failures import CommandError, Exit
from cli.following import accepted, asking, finish
from cli.gateway import Json, at
from cli.many import Begun, begin_each, finish_each
from cli.output import Output
from cli.session import Session, session
from cli.wording import ago, thing

_SHOWN = 20
"""As many of many are listed before it is asked."""


def rm(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="The environments' names.", autocompletion=completion.environments),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", envvar="SLIPWAY_RM_ALL", help="Every one that these flags describe.")
    ] = False,
    kind: Annotated[
        str | None, typer.Option(help="With --all: only of this kind.", autocompletion=lambda: KINDS)
    ] = None,
    team: Annotated[str | None, typer.Option(help="With --all: only this team's.")] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template", "-t", help="With --all: only of this golden path.", autocompletion=completion.golden_paths
        ),
    ] = None,
    yes: Yes = False,
    confirm: Annotated[
        str | None, typer.Option(help="The name once more, of many their number: needed off a terminal.")
    ] = None,
    no_wait: NoWait = False,
) -> None:
    """Delete an environment and everything that was made for it; or many."""
    here, assent = session(context), Assent(yes, confirm)
    wanted = list(dict.fromkeys(names or ()))
    described = bool(kind or team or template)
    if every == bool(wanted) or described != every:
        raise CommandError(
            "It is not clear what shall be deleted.",
            remedy="Name environments, or say --all with at least one of --kind, --team and --template.",
            code=Exit.USAGE,
        )
    if every:
        found = [one for one in _all(here, kind, team, template) if one["state"] not in {"deleting", "deleted"}]
        _remove_many(here, [one["name"] for one in found], found, assent, no_wait=no_wait)
    elif len(wanted) == 1:
        _remove_one(here, wanted[0], assent, no_wait=no_wait)
    else:
        _remove_many(here, wanted, None, assent, no_wait=no_wait)


def _all(here: Session, kind: str | None, team: str | None, template: str | None) -> list[Json]:
    if kind is not None and kind not in KINDS:
        raise CommandError(f"{kind} is no kind.", remedy=f"Kinds are {', '.join(KINDS)}.", code=Exit.USAGE)
    items = here.gateway.every(at("environments"), team=team, golden_path=template)
    return [one for one in items if kind in {None, one["kind"]}]


def _remove_one(here: Session, name: str, assent: Assent, *, no_wait: bool) -> None:
    by_name(
        name,
        assent,
        deed=f"Deleting {name}",
        prompt="Type its name to delete it",
        show=lambda: _what_goes(here.output, here.gateway.get(at("environments", name))),
    )
    with asking(name):
        answer = here.gateway.delete(at("environments", name))
    if no_wait:
        accepted(here, answer)
    else:
        finish(here, answer["run"], f"Deleting {name}")


def _remove_many(
    here: Session, names: Sequence[str], found: list[Json] | None, assent: Assent, *, no_wait: bool
) -> None:
    """Delete these. `found`: what is known of them already."""
    if not names:
        if here.output.for_programs:
            here.output.document([])
        here.output.note("No environment is like this: nothing was deleted.")
        return
    count = len(names)

    def show() -> None:
        known = found if found is not None else [here.gateway.get(at("environments", name)) for name in names]
        here.output.note(f"{count} environments go, with everything that was made for them:")
        for environment in known[:_SHOWN]:
            here.output.note(*_one_line(environment))
        if count > _SHOWN:
            here.output.note(f"  … and {count - _SHOWN} more; `slipway ls` lists them")

    by_count(count, assent, deed=f"Deleting {count} environments", prompt="Type how many to delete them", show=show)

    def begin(name: str) -> Begun:
        answer = here.gateway.delete(at("environments", name))
        return Begun(name, answer["run"])

    begun = begin_each(names, begin, doing="Deleting")
    finish_each(here, begun, done="deleted", no_wait=no_wait)


def _one_line(environment: Json) -> tuple[str | tuple[str, str], ...]:
    resources = (environment.get("infrastructure") or {}).get("resources", ())
    data = any(resource["kind"] == "database" for resource in resources)
    return (
        "  ",
        (environment["name"], "bold"),
        _standing(environment),
        (", with its database" if data else "", "yellow"),
    )


def _standing(environment: Json) -> str:
    owner = environment["owner"]
    return (
        f": {environment['kind']}, {environment['state']}, of {owner['person']} and team {owner['team']},"
        f" last changed {ago(environment['updated_at'])}"
    )


def _what_goes(output: Output, environment: Json) -> None:
    pipeline = environment.get("pipeline") or {}
    note = output.note
    note((environment["name"], "bold"), f"{_standing(environment)}. This goes:")
    for resource in (environment.get("infrastructure") or {}).get("resources", ()):
        note(f"  {thing(resource)}", (" with its data" if resource["kind"] == "database" else "", "yellow"))
    if secrets_ := environment.get("secrets"):
        note(f"  secrets {secrets_['path']} and access of {secrets_['access_group']}")
    if pipeline.get("workflow_path"):
        note(f"  workflow {pipeline['workflow_path']} in {environment['repository']}")
    if pipeline.get("origin") == "created":
        note(f"  repository {environment['repository']}, unless it holds work of yours")
    if reason := environment.get("kept_because"):
        note(("It was kept: ", "bold yellow"), reason)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("rm")(rm)
