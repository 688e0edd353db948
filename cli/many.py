"""Runs of many environments at once: asked for one after the other, watched together, told as one result.

Invariant: one that is refused or fails stops none of the others, and is told with its reason.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli.failures import AwayError, CommandError, Exit
from cli.gateway import Json, at
from cli.session import Session
from cli.wording import one_line, seconds, seconds_between, state

_ENDED: Final = frozenset({"succeeded", "failed"})
_LOOK_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 120.0
_PAGE: Final = 100
_MOST_PAGES: Final = 5
_SHOWN: Final = 15


@dataclass
class Begun:
    """One of many: its run, or why there is none."""

    name: str
    run: Json | None = None
    refusal: CommandError | None = None

    @property
    def state(self) -> str:
        """How it stands."""
        return "refused" if self.run is None else str(self.run.get("state", "running"))

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.run is None or self.state in _ENDED

    @property
    def reason(self) -> str:
        """Why it did not go well."""
        if self.refusal is not None:
            return str(self.refusal)
        return str(((self.run or {}).get("failure") or {}).get("message", ""))


@dataclass
class _Watch:
    """What is known of all of them."""

    all: list[Begun]
    told: set[str] = field(default_factory=set)

    def news(self) -> list[Begun]:
        """Those that are over and were not told yet."""
        found = [one for one in self.all if one.is_over and one.name not in self.told]
        self.told |= {one.name for one in found}
        return found


def begin_each(names: Sequence[str], begin: Callable[[str], Begun], *, doing: str) -> list[Begun]:
    """Ask for the run of each. Raises AwayError and CommandError where nobody answers or it is interrupted: what was
    asked for until then goes on."""
    found: list[Begun] = []
    for name in names:
        try:
            found.append(begin(name))
        except AwayError:
            raise
        except CommandError as error:
            found.append(Begun(name, refusal=error))
        except KeyboardInterrupt:
            raise CommandError(
                f"Interrupted. {doing} of {len(found)} of {len(names)} was asked for, and goes on.",
                remedy="See them: slipway runs",
                code=Exit.INTERRUPTED,
            ) from None
    return found


def finish_each(here: Session, all_: list[Begun], *, done: str, no_wait: bool) -> None:
    """Watch them all to their ends and print what came of them; `done` is what has happened to those that succeeded.
    Raises typer.Exit where not all did."""
    if not no_wait:
        _watch(here, all_)
    failed = [one for one in all_ if one.state == "failed"]
    refused = [one for one in all_ if one.run is None]
    if here.output.for_programs:
        here.output.document([_document(one) for one in all_])
    elif no_wait:
        for one in all_:
            if one.run is not None:
                here.output.say(one.run["id"])
        _tell_refused(here, refused)
        here.output.note("Watch them: slipway runs")
    else:
        here.output.say(*_summary(all_, failed, refused, done))
    if failed:
        raise typer.Exit(Exit.FAILED)
    if refused:
        raise typer.Exit(refused[0].refusal.code if refused[0].refusal else Exit.REFUSED)


def _tell_refused(here: Session, refused: list[Begun]) -> None:
    for one in refused:
        here.output.note(state("refused"), f"  {one.name}: {one.reason}")


def _document(one: Begun) -> Json:
    return {"environment": one.name, "run": one.run, "refused": one.reason if one.run is None else None}


def _summary(all_: list[Begun], failed: list[Begun], refused: list[Begun], done: str) -> tuple[Text | str, ...]:
    went_well = len(all_) - len(failed) - len(refused)
    counts = [f"{went_well} {done}"]
    counts += [f"{len(failed)} failed"] if failed else []
    counts += [f"{len(refused)} refused"] if refused else []
    unlucky = (failed or refused)[:1]
    see = f". See why: slipway show {unlucky[0].name}" if unlucky else "."
    sign = "failed" if unlucky else "deleted" if done == "deleted" else "succeeded"
    return state(sign), f": {', '.join(counts)}{see}"


def _watch(here: Session, all_: list[Begun]) -> None:
    watch = _Watch(all_)
    live: AbstractContextManager[object] = nullcontext()
    if here.output.redraws:
        live = Live(console=here.output.progress, get_renderable=lambda: _view(all_), refresh_per_second=4)
    else:
        here.output.note(f"{len(all_)} runs. Ctrl-C stops watching; they go on.")
    lost_at: float | None = None
    with live:
        try:
            while True:
                try:
                    _look(here, all_)
                    lost_at = None
                except AwayError:
                    lost_at = lost_at or time.monotonic()
                    if time.monotonic() - lost_at > _PATIENCE_SECONDS:
                        raise
                if not here.output.redraws:
                    for one in watch.news():
                        here.output.note(*_line(one))
                if all(one.is_over for one in all_):
                    return
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted; the runs go on.", remedy="See them: slipway runs", code=Exit.INTERRUPTED
            ) from None


def _look(here: Session, all_: list[Begun]) -> None:
    """Learn how those stand that are under way. One list tells of a hundred."""
    waiting = {one.run["id"]: one for one in all_ if one.run is not None and not one.is_over}
    newest = islice(here.gateway.every(at("runs"), page_size=_PAGE), _PAGE * _MOST_PAGES)
    for run in newest:
        if not waiting:
            return
        if (one := waiting.pop(run["id"], None)) is not None:
            one.run = run
    for run_id, one in waiting.items():  # many others began since
        one.run = here.gateway.get(at("runs", run_id))


def _view(all_: list[Begun]) -> RenderableType:
    over = sum(one.is_over for one in all_)
    under_way = [one for one in all_ if not one.is_over]
    unlucky = [one for one in all_ if one.is_over and one.state != "succeeded"]
    shown = (unlucky + under_way)[:_SHOWN]
    lines = [Text(f"{over} of {len(all_)} done", style="bold")]
    lines += [Text.assemble("  ", *_line(one)) for one in shown]
    if len(unlucky) + len(under_way) > _SHOWN:
        lines.append(Text(f"  … and {len(unlucky) + len(under_way) - _SHOWN} more", style="dim"))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines)


def _line(one: Begun) -> tuple[Text, str]:
    run = one.run or {}
    took = seconds(seconds_between(run.get("requested_at"), run.get("ended_at")))
    words = [one.name, took, one.reason]
    return state(one.state), "  " + one_line("  ".join(word for word in words if word))
