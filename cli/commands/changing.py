"""update, upgrade, repair: another state for an environment that exists, or again the one it should have."""

from typing import Annotated

import typer

from cli.commands.arguments import Agreed, Confirm, Name, NoWait, PlanOnly, Yes, parameters
from cli.commands.confirming import Assent, by_name
from cli.failures import CommandError, Exit
from cli.following import accepted, asking, finish
from cli.gateway import Json, at, doing
from cli.screens import environment as screen
from cli.screens import plan as plan_screen
from cli.session import Session, session


def update(
    context: typer.Context,
    name: Name,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", envvar="SLIPWAY_UPDATE_SET", help="A parameter as key=value; may be repeated."),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(help="A parameter that shall be what the golden path says again; may be repeated."),
    ] = None,
    branch: Annotated[str | None, typer.Option("--branch", "-b", help="The branch to deploy.")] = None,
    plan: PlanOnly = False,
    agreed: Agreed = None,
    yes: Yes = False,
    confirm: Confirm = None,
    no_wait: NoWait = False,
) -> None:
    """Change an environment's parameters or branch, and watch it become that."""
    here = session(context)
    wanted: Json = dict.fromkeys(unset or ()) | parameters(set_)
    body: Json = ({"parameters": wanted} if wanted else {}) | ({"branch": branch} if branch else {})
    if not body:
        raise CommandError(
            "Nothing is said that should change.", remedy="Add --set, --unset or --branch.", code=Exit.USAGE
        )
    if plan:
        _show_plan(here, _planned(here, name, body))
        return
    if wanted and agreed is None:
        agreed = ask_for_loss(here, name, body, Assent(yes, confirm))
    with asking(name):
        answer = here.gateway.patch(at("environments", name), body | ({"plan": agreed} if agreed else {}))
    _follow(here, answer, f"Updating {name}", no_wait=no_wait)


def upgrade_one(here: Session, name: str, assent: Assent, *, plan: bool, agreed: str | None, no_wait: bool) -> None:
    """Bring one environment to the version of its golden path that is on offer."""
    offered = here.gateway.get(at("environments", name)).get("update_available")
    wanted = {"golden_path_version": offered} if offered else {}
    if plan:
        _show_plan(here, _planned(here, name, wanted))
        return
    if wanted and agreed is None:
        agreed = ask_for_loss(here, name, wanted, assent)
    with asking(name):
        answer = here.gateway.post(doing("upgrade", "environments", name), {"plan": agreed} if agreed else {})
    _follow(here, answer, f"Upgrading {name}{f' to {offered}' if offered else ''}", no_wait=no_wait)


def repair(context: typer.Context, name: Name, no_wait: NoWait = False) -> None:
    """Make what exists again what it should be, after somebody changed it by hand."""
    here = session(context)
    with asking(name):
        answer = here.gateway.post(doing("repair", "environments", name))
    _follow(here, answer, f"Repairing {name}", no_wait=no_wait)


def ask_for_loss(here: Session, name: str, wanted: Json, assent: Assent) -> str | None:
    """Plan a change, and go on only where it destroys no data or somebody means it. The hash of the plan that destroys
    data: what is done must have the same, and with it the platform knows that this is meant; None of another plan.
    Raises CommandError."""
    found = _planned(here, name, wanted)
    check_loss(here, found, assent)
    return str(found["hash"]) if plan_screen.lost(found) else None


def check_loss(here: Session, plan: Json, assent: Assent) -> None:
    """Go on only where a plan destroys no data or somebody means it. Raises CommandError."""
    lost = plan_screen.lost(plan)
    if not lost and assent.confirm is None:
        return
    name = plan["environment"]

    def show() -> None:
        here.output.note((name, "bold"), " would lose data:")
        for change in plan["changes"]:
            here.output.note(*plan_screen.change_words(change))

    what = ", ".join(f"{change['resource']['kind']} {change['resource']['id']}" for change in lost)
    by_name(
        name, assent, deed=f"This destroys {what} with its data, and" if lost else f"Changing {name}",
        prompt="Type its name to do it", show=show,
    )  # fmt: skip


def unchanged(here: Session, environment: Json, more: Json | None = None) -> None:
    """Say that an environment is what was asked for already."""
    if here.output.for_programs:
        here.output.document({**(more or {}), "environment": environment, "run": None})
        return
    here.output.note("Nothing to do: it is like this already.")
    screen.last_line(here.output, environment)


def _planned(here: Session, name: str, wanted: Json) -> Json:
    return here.gateway.post(doing("plan", "environments", name), wanted)


def _show_plan(here: Session, plan: Json) -> None:
    if here.output.for_programs:
        here.output.document(plan)
    else:
        plan_screen.page(here.output, plan, "Do it: the same command without --plan.")


def _follow(here: Session, answer: Json, title: str, *, no_wait: bool) -> None:
    """Watch the run that was begun; where none was, say so."""
    if "run" not in answer:
        unchanged(here, answer)
    elif no_wait:
        accepted(here, answer)
    else:
        finish(here, answer["run"], title)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("update")(update)
    app.command("repair")(repair)
