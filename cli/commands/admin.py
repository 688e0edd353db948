"""admin: what the platform team does: dead letters, the log and its copy, and the views folded from it."""

import base64
import json
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

from cli.commands.platform import hand_over
from cli.failures import Exit
from cli.gateway import Json, at
from cli.output import Column
from cli.session import Session, session
from cli.wording import ago, when

admin = typer.Typer(no_args_is_help=True, help="What the platform team does.")
dead_letters = typer.Typer(no_args_is_help=True, help="Messages that no service could handle.")
admin.add_typer(dead_letters, name="dead-letters")
readers = typer.Typer(no_args_is_help=True, help="Programs that read a team's events on the bus.")
admin.add_typer(readers, name="readers")

Number = Annotated[int, typer.Argument(help="The dead letter's number.", min=1)]

_COLUMNS = (
    Column("NUMBER"), Column("WHEN", spare=2), Column("SERVICE"), Column("REASON", spare=1), Column("SUBJECT", spare=3),
    Column("ERROR", prose=True),
)  # fmt: skip
_PAGE = 200


@dead_letters.command("list")
def list_(
    context: typer.Context, limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 50
) -> None:
    """List dead letters, the newest first."""
    here = session(context)
    items = list(islice(_letters(here, min(limit, _PAGE)), limit))
    if here.output.for_programs:
        here.output.document(items)
        return
    rows: list[list[str | Text]] = [
        [str(item["sequence"]), ago(item["time"]), item["service"], item["reason"], item["subject"], item["error"]]
        for item in items
    ]
    here.output.table(_COLUMNS, rows, empty="No dead letters: every message was handled.")


def _letters(here: Session, page_size: int) -> Iterator[Json]:
    before: int | None = None
    while True:
        page = here.gateway.get(at("admin", "dead-letters"), limit=page_size, before=before)
        yield from page["items"]
        before = page.get("next_before")
        if before is None:
            return


@dead_letters.command("show")
def show(context: typer.Context, number: Number) -> None:
    """Show one with its original bytes."""
    here = session(context)
    item = here.gateway.get(at("admin", "dead-letters", number))
    if here.output.for_programs:
        here.output.document(item)
        return
    here.output.facts(
        [
            ("number", str(item["sequence"])),
            ("when", when(item["time"])),
            ("service", item["service"]),
            ("subject", item["subject"]),
            ("reason", item["reason"]),
            ("error", item["error"]),
            ("trace", item["trace_id"]),
            ("size", f"{item['size_bytes']} bytes"),
        ]
    )
    here.output.say()
    here.output.say(_body(base64.b64decode(item["body_base64"])))
    here.output.say()
    if item["replayable"]:
        here.output.say("Once its cause is mended: ", (f"slipway admin dead-letters replay {number}", "bold"))
    else:
        here.output.say("It cannot be sent back: nothing is known of the message it was.")


def _body(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode("utf-8", errors="backslashreplace")


@dead_letters.command("replay")
def replay(context: typer.Context, number: Number) -> None:
    """Send one back to the service that could not handle it. Safe to repeat: what is done is not done again."""
    here = session(context)
    sent = here.gateway.post(at("admin", "dead-letters", number, "replay"))
    if here.output.for_programs:
        here.output.document(sent)
    else:
        here.output.say(f"Sent back to {sent['service']}. If it fails again: slipway admin dead-letters list")


@admin.command("rebuild")
def rebuild(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare; change nothing.")] = False,
) -> None:
    """Fold the catalog's views anew from its copy of the log, compare, and replace those that differ. Nobody waits."""
    here = session(context)
    names = events = 0
    differing: list[str] = []
    after: str | None = ""
    while after is not None:
        page = here.gateway.post(at("admin", "rebuild"), {"after": after, "replace": not dry_run})
        names, events, after = names + page["names"], events + page["events"], page["next_after"]
        differing += page["differing"]
        if after is not None and not here.output.for_programs:
            here.output.note(f"  {names} environments, {events} events ...")
    if here.output.for_programs:
        here.output.document({"names": names, "events": events, "differing": differing, "replaced": not dry_run})
    elif differing:
        done = "Differing" if dry_run else "Replaced"
        here.output.say(f"{done}: {', '.join(differing)}")
    else:
        here.output.say(f"{names} environments, {events} events: every view is what the log says.")
    if differing and dry_run:
        raise typer.Exit(Exit.FAILED)


@admin.command("verify-log")
def verify_log() -> None:
    """Look whether the catalog's copy of the log is as it was written. On the platform's own machine."""
    hand_over("verify-log")


@admin.command("restore-log")
def restore_log(
    discard: Annotated[
        bool, typer.Option("--discard", help="Give up a log that has begun anew without its history.")
    ] = False,
) -> None:
    """Put a lost log back from the catalog's copy. On the platform's own machine; its services stop meanwhile."""
    hand_over("restore-log", *(["--discard"] if discard else []))


ReaderName = Annotated[str, typer.Argument(metavar="NAME", help="The reader's name.")]


@readers.command("add")
def add_reader(
    name: ReaderName, team: Annotated[str, typer.Option("--team", help="Whose environments' events it reads.")]
) -> None:
    """Let a program read a team's events, with a key of its own. On the platform's own machine; nothing restarts."""
    hand_over("readers", "add", f"--team={team}", "--", name)


@readers.command("ls")
def list_readers(context: typer.Context) -> None:
    """List who reads whose events. On the platform's own machine."""
    hand_over("readers", "ls", "--output", session(context).output.form)


@readers.command("rm")
def remove_reader(name: ReaderName) -> None:
    """End a reader: it is disconnected at once and its key opens nothing. On the platform's own machine."""
    hand_over("readers", "rm", "--", name)
