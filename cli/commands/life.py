"""extend, keep, unkeep: how long an environment lives."""

from typing import Annotated

import typer

from cli.commands.arguments import Name
from cli.gateway import Json, doing
from cli.session import Session, session
from cli.wording import when


def extend(
    context: typer.Context,
    name: Name,
    time: Annotated[str, typer.Argument(metavar="[TIME]", help="From now: 12h, 7d, 2w.")] = "7d",
) -> None:
    """Give an environment more time."""
    here = session(context)
    _say(here, here.gateway.post(doing("extend", "environments", name), {"ttl": time}))


def keep(
    context: typer.Context,
    name: Name,
    reason: Annotated[str, typer.Option(help="Why it shall have no end; others see it.")],
) -> None:
    """Take an environment's end away, and say why."""
    here = session(context)
    _say(here, here.gateway.post(doing("keep", "environments", name), {"reason": reason}))


def unkeep(context: typer.Context, name: Name) -> None:
    """Give an environment an end again: what is usual for its kind, and a day at least."""
    here = session(context)
    _say(here, here.gateway.post(doing("unkeep", "environments", name)))


def _say(here: Session, environment: Json) -> None:
    if here.output.for_programs:
        here.output.document(environment)
        return
    name, end = environment["name"], environment.get("expires_at")
    if environment.get("kept_because"):
        here.output.say((name, "bold"), f" is kept: {environment['kept_because']}. Undo it: slipway unkeep {name}")
    elif end:
        here.output.say((name, "bold"), f" expires {when(end)}.")
    else:
        here.output.say((name, "bold"), f" has no end: it is {environment['kind']}.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (extend, keep, unkeep):
        app.command(command.__name__)(command)
