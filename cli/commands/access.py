"""access: who may use an environment. `slipway access NAME` lists; `grant` and `revoke` change it."""

import time
from typing import Annotated, Any, Final

import typer
from rich.text import Text
from typer.core import TyperGroup

from cli.commands.arguments import Name
from cli.commands.tokens import Role
from cli.failures import CommandError, Exit
from cli.gateway import Json, at
from cli.output import Column
from cli.session import Session, session

_COLUMNS: Final = (Column("ROLE"), Column("PERSON"), Column("TEAM"))
_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.2


class _ListsByDefault(TyperGroup):
    """Takes a name where a command could stand, and lists then."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().resolve_command(ctx, args)


access = typer.Typer(
    cls=_ListsByDefault,
    no_args_is_help=True,
    subcommand_metavar="NAME | COMMAND [ARGS]...",
    help="Who may use an environment: `slipway access NAME`, and grants.",
)

Person = Annotated[str | None, typer.Option(help="To whom.")]
Team = Annotated[str | None, typer.Option(help="To which team.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return before it takes effect.")]
InRole = Annotated[Role, typer.Option(help="viewer looks, developer changes, admin also deletes and shares.")]


@access.command("list")
def list_(context: typer.Context, name: Name) -> None:
    """List who may use an environment, beside its owner's team."""
    here = session(context)
    found = here.gateway.get(at("environments", name, "access"))
    if here.output.for_programs:
        here.output.document(found)
        return
    owner = found["owner"]
    rows: list[list[str | Text]] = [["admin", "", f"{owner['team']} (owner, by {owner['person']})"]]
    rows += [[item["role"], item["person"] or "", item["team"] or ""] for item in found["items"]]
    here.output.table(_COLUMNS, rows, empty="")
    here.output.note(f"Share it: slipway access grant {name} --role developer --person NAME")


@access.command("grant")
def grant(
    context: typer.Context, name: Name, role: InRole, person: Person = None, team: Team = None, no_wait: NoWait = False
) -> None:
    """Grant a person or a team a role in one environment."""
    here, who = session(context), _who(person, team)
    changed = here.gateway.post(at("environments", name, "access"), {"role": role.value, **who})
    _finish(here, name, changed, wait=not no_wait)


@access.command("revoke")
def revoke(
    context: typer.Context, name: Name, role: InRole, person: Person = None, team: Team = None, no_wait: NoWait = False
) -> None:
    """Take a role away again."""
    here, who = session(context), _who(person, team)
    changed = here.gateway.delete(at("environments", name, "access"), role=role.value, **who)
    _finish(here, name, changed, wait=not no_wait)


def _who(person: str | None, team: str | None) -> dict[str, str]:
    if (person is None) == (team is None):
        raise CommandError("Nobody, or two, are named.", remedy="Say --person NAME or --team NAME.", code=Exit.USAGE)
    return {"person": person} if person is not None else {"team": str(team)}


def _finish(here: Session, name: str, changed: Json, *, wait: bool) -> None:
    """Wait until the secrets service has done it, and say so."""
    granted = changed["change"] == "granted"
    done = wait and _has_happened(here, name, changed, granted=granted)
    if here.output.for_programs:
        here.output.document(changed | {"done": done})
        return
    who = changed["person"] or f"the team {changed['team']}"
    words = f"{who} {'has' if granted else 'no longer has'} the role {changed['role']} in {name}"
    if done:
        here.output.say(f"{words}.")
    else:
        here.output.say(f"{words} as soon as the secrets service has done it. See: slipway access {name}")


def _has_happened(here: Session, name: str, changed: Json, *, granted: bool) -> bool:
    meant = {key: changed[key] for key in ("role", "person", "team")}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        items = here.gateway.get(at("environments", name, "access"))["items"]
        if (meant in items) == granted:
            return True
        time.sleep(_LOOK_SECONDS)
    return False
