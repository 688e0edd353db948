"""upgrade: to the version of its golden path that is on offer, one environment or all of a golden path."""

from typing import Annotated

import typer

from cli import completion
from cli.commands import rollouts
from cli.commands.arguments import Agreed, NoWait, PlanOnly, Yes
from cli.commands.changing import upgrade_one
from cli.commands.confirming import Assent
from cli.commands.creating import KINDS
from cli.failures import CommandError, Exit
from cli.gateway import Json
from cli.session import session


def upgrade(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="The environment's name.", autocompletion=completion.environments)
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", envvar="SLIPWAY_UPGRADE_ALL", help="Everything made from --golden-path.")
    ] = False,
    golden_path: Annotated[
        str | None, typer.Option(help="With --all: of which.", autocompletion=completion.golden_paths)
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="With --all: only of this kind; may be repeated.", autocompletion=lambda: KINDS),
    ] = None,
    canaries: Annotated[int, typer.Option(min=0, max=50, help="With --all: how many go first, alone.")] = 1,
    batch: Annotated[int, typer.Option(min=1, max=100, help="With --all: how many go at a time then.")] = 10,
    include_replacing: Annotated[
        bool, typer.Option("--include-replacing", help="With --all: also those whose data would be lost.")
    ] = False,
    plan: PlanOnly = False,
    agreed: Agreed = None,
    yes: Yes = False,
    confirm: Annotated[
        str | None, typer.Option(help="The name once more, with --all how many: needed off a terminal.")
    ] = None,
    no_wait: NoWait = False,
) -> None:
    """Bring an environment, or all of a golden path, to the version that is on offer."""
    here, assent = session(context), Assent(yes, confirm)
    if name is not None and not every:
        upgrade_one(here, name, assent, plan=plan, agreed=agreed, no_wait=no_wait)
        return
    if name is not None or not every or golden_path is None:
        raise CommandError(
            "It is not clear what shall be upgraded.",
            remedy="Name an environment, or say --all --golden-path NAME.",
            code=Exit.USAGE,
        )
    wanted: Json = {
        "golden_path": golden_path,
        "kinds": list(kind) if kind else None,
        "canaries": canaries,
        "batch_size": batch,
        "include_replacing": include_replacing,
    }
    rollouts.begin(here, wanted, assent, plan=plan, no_wait=no_wait)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("upgrade")(upgrade)
