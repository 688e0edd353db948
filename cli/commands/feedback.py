"""feedback: a word to the platform team, and what became of yours."""

from itertools import islice
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text

from cli.gateway import Json, at
from cli.output import Column
from cli.session import session
from cli.wording import ago, one_line, state

feedback = typer.Typer(no_args_is_help=True, help="A word to the platform team, and what became of yours.")

_COLUMNS = (
    Column("WHEN"), Column("STATE"), Column("TICKET", spare=2), Column("REPLIED", spare=3),
    Column("WHAT", prose=True),
)  # fmt: skip


@feedback.command("send")
def send(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What is in your way, what is missing, what is good.")],
    page: Annotated[str, typer.Option(help="The portal's page that it is about, such as /runs.")] = "",
    run: Annotated[UUID | None, typer.Option(metavar="ID", help="The run that it is about.")] = None,
) -> None:
    """Tell the platform team. It becomes a ticket."""
    here = session(context)
    said = here.gateway.post(at("feedback"), {"text": text, "page": page, "run_id": str(run) if run else None})
    if here.output.for_programs:
        here.output.document(said)
        return
    here.output.note("Thank you. The platform team has it. What becomes of it: slipway feedback ls")


@feedback.command("ls")
def ls(context: typer.Context, limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 20) -> None:
    """List your feedback with its tickets, the newest first."""
    here = session(context)
    items = list(islice(here.gateway.every(at("feedback"), page_size=min(limit, 200)), limit))
    if here.output.for_programs:
        here.output.document(items)
        return
    rows: list[list[str | Text]] = [
        [ago(item["at"]), state(_stands(item)), *_ticket(item["ticket"]), _what(item)] for item in items
    ]
    here.output.table(_COLUMNS, rows, empty="Nothing yet. Say something: slipway feedback send TEXT")


def _stands(item: Json) -> str:
    ticket = item["ticket"]
    return str(ticket["state"]) if ticket else "waiting"


def _ticket(ticket: Json | None) -> tuple[str, str]:
    """Its id, and when somebody replied last."""
    if ticket is None:
        return "", ""
    return ticket["id"], ago(ticket["reply"]["at"]) if ticket["reply"] else ""


def _what(item: Json) -> str:
    reply = (item["ticket"] or {}).get("reply")
    said = one_line(item["text"])
    return f"{said} — {one_line(reply['author'])}: {one_line(reply['text'])}" if reply else said
