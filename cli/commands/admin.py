"""admin: what the platform team does. Dead letters, for now: list, show, replay."""

import base64
from typing import Annotated

import typer
from rich.text import Text

from cli.output import ago
from cli.session import session

admin = typer.Typer(no_args_is_help=True, help="What the platform team does.")
dead_letters = typer.Typer(no_args_is_help=True, help="Messages that no service could handle.")
admin.add_typer(dead_letters, name="dead-letters")

Sequence = Annotated[int, typer.Argument(help="The dead letter's number.", min=1)]


@dead_letters.command("list")
def list_(context: typer.Context, limit: Annotated[int, typer.Option(min=1, max=200)] = 50) -> None:
    """List dead letters, the newest first."""
    here = session(context)
    items = here.gateway.get("/api/v1/admin/dead-letters", limit=limit)["items"]
    if here.output.for_programs:
        here.output.document(items)
        return
    rows: list[list[str | Text]] = [
        [str(item["sequence"]), ago(item["time"]), item["service"], item["reason"], item["subject"], item["error"]]
        for item in items
    ]
    here.output.table(("NUMBER", "WHEN", "SERVICE", "REASON", "SUBJECT", "ERROR"), rows, empty="No dead letters.")


@dead_letters.command("show")
def show(context: typer.Context, number: Sequence) -> None:
    """Show one with its original bytes."""
    here = session(context)
    item = here.gateway.get(f"/api/v1/admin/dead-letters/{number}")
    if here.output.for_programs:
        here.output.document(item)
        return
    body = base64.b64decode(item.pop("body_base64"))
    here.output.facts((key.replace("_", " "), str(value)) for key, value in item.items() if value is not None)
    printable = body.decode("utf-8", errors="backslashreplace")
    here.output.result.print(Text("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in printable)))


@dead_letters.command("replay")
def replay(context: typer.Context, number: Sequence) -> None:
    """Send one back to the service that could not handle it. Safe to repeat: what is done is not done again."""
    here = session(context)
    sent = here.gateway.post(f"/api/v1/admin/dead-letters/{number}/replay")
    if here.output.for_programs:
        here.output.document(sent)
    else:
        here.output.result.print(Text(f"Sent back to {sent['service']}."))
