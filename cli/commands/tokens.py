"""token, whoami: who one is to the platform, and the tokens one has."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from cli.gateway import at
from cli.output import Column
from cli.session import session
from cli.wording import ago, state, when

token = typer.Typer(no_args_is_help=True, help="API tokens: for a colleague, a machine, a pipeline.")

_COLUMNS = (
    Column("ID"), Column("NAME"), Column("PERSON", spare=2), Column("ROLE", spare=1), Column("TEAMS", spare=4),
    Column("CREATED", spare=5), Column("EXPIRES", spare=3),
)  # fmt: skip


class Role(StrEnum):
    """What a token lets one do; each may do what the ones before it may."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    ADMIN = "admin"


@token.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for, such as `ci`.")],
    role: Annotated[Role, typer.Option(help="No greater than yours.")] = Role.DEVELOPER,
    team: Annotated[list[str] | None, typer.Option(help="A team it acts for, yours if left out; repeatable.")] = None,
    expires_in_days: Annotated[int, typer.Option(min=1, max=366, help="Days until it ends.")] = 90,
    person: Annotated[str | None, typer.Option(help="For whom, if not for you; admins only.")] = None,
) -> None:
    """Make a token. It is printed this once, alone on standard output."""
    here = session(context)
    made = here.gateway.post_once(
        at("tokens"),
        {"name": name, "role": role.value, "teams": team or None, "expires_in_days": expires_in_days, "person": person},
    )
    if here.output.for_programs:
        here.output.document(made)
        return
    here.output.note(
        f"{made['id']}: {made['name']}, {made['role']} for {made['person']},"
        f" teams {', '.join(made['teams']) or 'none'}, ends {when(made['expires_at'])}."
    )
    here.output.note("Keep it in a file that only you can read, named by SLIPWAY_TOKEN_FILE. It is not shown again:")
    here.output.say(made["token"])


@token.command("list")
def list_(context: typer.Context) -> None:
    """List your tokens; as an admin everybody's."""
    here = session(context)
    items = here.gateway.get(at("tokens"))["items"]
    if here.output.for_programs:
        here.output.document(items)
        return
    rows: list[list[str | Text]] = [
        [
            item["id"], item["name"], item["person"], item["role"], ", ".join(item["teams"]), ago(item["created_at"]),
            state("revoked") if item["revoked_at"] else ago(item["expires_at"]) or "never",
        ]
        for item in items
    ]  # fmt: skip
    here.output.table(_COLUMNS, rows, empty="No tokens. Make one: slipway token create NAME")


@token.command("revoke")
def revoke(
    context: typer.Context, token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id.")]
) -> None:
    """End a token: from now on it opens nothing."""
    here = session(context)
    here.gateway.delete(at("tokens", token_id))
    here.output.note(f"Token {token_id} is revoked.")


def whoami(context: typer.Context) -> None:
    """Say who you are to the platform, and what you may do."""
    here = session(context)
    me = here.gateway.get(at("me"))
    if here.output.for_programs:
        here.output.document({"gateway": here.gateway.url, **me})
        return
    here.output.facts(
        [
            ("platform", here.gateway.url),
            ("role", me["role"]),
            ("teams", ", ".join(me["teams"]) or "none"),
            ("token", f"{me['token']['name']} ({me['token']['id']})"),
            ("expires", when(me["token"]["expires_at"]) or "never"),
            ("person", Text(me["person"], style="bold")),
        ]
    )


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(token, name="token")
    app.command("whoami")(whoami)
