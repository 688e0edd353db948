"""rollouts, rollout: a new version of a golden path, brought to everything that was made from it."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.live import Live

from cli.commands.confirming import Assent, by_count
from cli.failures import AwayError, CommandError, Exit
from cli.gateway import Json, at, doing
from cli.screens import rollout as screen
from cli.session import Session, session

_LOOK_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 120.0
_LISTED: Final = 200


class Steer(StrEnum):
    """What can be done with a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


def begin(here: Session, wanted: Json, assent: Assent, *, plan: bool, no_wait: bool) -> None:
    """Rehearse, ask, and upgrade everything."""
    needs_asking = not plan and not (assent.yes and sys.stdin.isatty())
    body = wanted | {"rehearse_only": plan, "pause_after_rehearsal": needs_asking}
    rollout = here.gateway.post(at("rollouts"), body)
    if needs_asking and rollout["members"]:
        rollout = _watch(here, rollout, lambda found: found["phase"] == "rehearsal" and found["status"] == "running")
        rollout = _ask(here, rollout, assent)
    if no_wait:
        _begun(here, rollout)
        return
    _finish(here, _watch(here, rollout, _goes_on))


def _ask(here: Session, rollout: Json, assent: Assent) -> Json:
    """Go on only where somebody means that many; else it is cancelled."""
    count = rollout["counts"]["pending"]
    if rollout["ended_at"] is not None or rollout["status"] != "paused" or count == 0:
        return rollout  # nothing is left to be asked, or somebody else was faster
    try:
        by_count(
            count,
            assent,
            deed=f"Upgrading {count} environments",
            prompt="Type how many to upgrade them",
            show=lambda: screen.rehearsal(here.output, rollout),
        )
    except (CommandError, typer.Abort, KeyboardInterrupt):
        here.gateway.post(doing("cancel", "rollouts", rollout["id"]))
        raise
    return here.gateway.post(doing("resume", "rollouts", rollout["id"]))


def _begun(here: Session, rollout: Json) -> None:
    if here.output.for_programs:
        here.output.document(rollout)
    else:
        here.output.say(rollout["id"])
        here.output.note(f"Watch it: slipway rollout {rollout['id'][: screen.SHORT_ID]}")


def rollouts(
    context: typer.Context, limit: Annotated[int, typer.Option(min=1, max=_LISTED, help="How many.")] = 20
) -> None:
    """List rollouts, the newest first."""
    here = session(context)
    items = here.gateway.get(at("rollouts"), limit=limit)["items"]
    if here.output.for_programs:
        here.output.document(items)
        return
    rows = (screen.row(item) for item in items)
    here.output.table(
        screen.COLUMNS, rows, empty="No rollouts yet. Begin one: slipway upgrade --all --golden-path NAME --plan"
    )


def rollout(
    context: typer.Context,
    rollout_id: Annotated[str, typer.Argument(metavar="ID", help="The rollout's id, or its beginning.")],
    deed: Annotated[
        Steer | None,
        typer.Argument(metavar="[pause|resume|cancel]", help="What to do with it.", autocompletion=lambda: list(Steer)),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Say how it stands, and return.")] = False,
) -> None:
    """Show a rollout and watch it, or steer it."""
    here = session(context)
    found = _find(here, rollout_id)
    if deed is not None:
        found = here.gateway.post(doing(deed.value, "rollouts", found["id"]))
    if no_wait or deed in {Steer.PAUSE, Steer.CANCEL} or not _goes_on(found):
        _show(here, found)
        return
    _finish(here, _watch(here, found, _goes_on))


def _find(here: Session, beginning: str) -> Json:
    if len(beginning) == len("00000000-0000-0000-0000-000000000000"):
        return here.gateway.get(at("rollouts", beginning))
    items = here.gateway.get(at("rollouts"), limit=_LISTED)["items"]
    found = [item["id"] for item in items if item["id"].startswith(beginning) and len(beginning) >= screen.SHORT_ID]
    if len(found) != 1:
        raise CommandError(
            f"{len(found) or 'None'} of the newest {_LISTED} rollouts begin with {beginning}.",
            remedy="`slipway rollouts` lists them.",
            code=Exit.NOT_FOUND,
        )
    return here.gateway.get(at("rollouts", found[0]))


def _goes_on(found: Json) -> bool:
    """Whether it moves by itself."""
    return found["ended_at"] is None and (found["status"] == "running" or found["counts"]["begun"] > 0)


def _show(here: Session, found: Json) -> None:
    if here.output.for_programs:
        here.output.document(found)
    else:
        screen.page(here.output, found)


def _finish(here: Session, found: Json) -> None:
    """Print how it has come to a halt. Raises typer.Exit where something failed."""
    _show(here, found)
    if found["counts"]["failed"] or found["status"] in {"stopped", "cancelled"}:
        raise typer.Exit(Exit.FAILED)


def _watch(here: Session, found: Json, goes_on: Callable[[Json], bool]) -> Json:
    """Show it as it goes, while it does."""
    latest, told = found, None
    live: AbstractContextManager[object] = nullcontext()
    if here.output.redraws:
        live = Live(console=here.output.progress, get_renderable=lambda: screen.view(latest), refresh_per_second=4)
    elif goes_on(found):
        title = f"Upgrading {found['golden_path']} to {found['version']}: {len(found['members'])} environments"
        here.output.note(f"{title}. Ctrl-C stops watching; the rollout goes on.")
    answered_at = time.monotonic()
    with live:
        try:
            while True:
                if not here.output.redraws:
                    for line in screen.news(told, latest):
                        here.output.note(*line)
                    told = latest
                if not goes_on(latest):
                    return latest
                time.sleep(_LOOK_SECONDS)
                try:
                    latest = here.gateway.get(at("rollouts", found["id"]))
                    answered_at = time.monotonic()
                except AwayError:
                    if time.monotonic() - answered_at > _PATIENCE_SECONDS:
                        raise
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted; the rollout goes on.",
                remedy=f"Watch it: slipway rollout {found['id'][: screen.SHORT_ID]}",
                code=Exit.INTERRUPTED,
            ) from None


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("rollouts")(rollouts)
    app.command("rollout")(rollout)
