"""Following a run to its end, and what a command prints and exits with then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import typer

from cli.failures import AwayError, CommandError, Exit
from cli.gateway import Gateway, Json, at
from cli.progress import Progress
from cli.screens import run as run_screen
from cli.screens.live import watch
from cli.session import Session

_ENDED: Final = frozenset({"succeeded", "failed"})
_SETTLING_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05


@contextmanager
def asking(name: str) -> Iterator[None]:
    """While a run of the environment `name` is asked for: Ctrl-C then leaves open whether it was."""
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError(
            "Interrupted before the gateway answered; the run may have begun.",
            remedy=f"See whether: slipway show {name}",
            code=Exit.INTERRUPTED,
        ) from None


@dataclass(frozen=True)
class Ended:
    """A run that was watched to its end: the run, the last word of its stream (or the run itself where that was
    missed), and the environment as it is now."""

    run: Json
    verdict: Json
    environment: Json

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was begun for."""
        return bool(self.verdict["state"] == "succeeded")


def finish(
    here: Session, run: Json, title: str, usual: dict[str, float] | None = None, more: Json | None = None
) -> None:
    """Watch a run to its end and print what came of it; `more` is what a program is told besides.

    Raises typer.Exit where the run failed, CommandError where it goes on without us.
    """
    ended = watched(here, run, title, usual)
    if here.output.for_programs:
        here.output.document({**(more or {}), "environment": ended.environment, "run": ended.run})
    else:
        run_screen.ended(here.output, ended.run, ended.verdict, ended.environment)
    if not ended.succeeded:
        raise typer.Exit(Exit.FAILED)


def watched(here: Session, run: Json, title: str, usual: dict[str, float] | None = None) -> Ended:
    """Watch a run to its end. Raises CommandError where it goes on without us."""
    name = run["environment"]
    progress = Progress(name, run["kind"], run["requested_at"], usual or {})
    try:
        watch(here.gateway, here.output, run["id"], progress, title)
        ended = _settled(here.gateway, run["id"])
        environment = here.gateway.get_patiently(at("environments", name))
    except KeyboardInterrupt:
        raise CommandError(
            "Interrupted; the run goes on.", remedy=f"Watch it: slipway logs {name} -f", code=Exit.INTERRUPTED
        ) from None
    except AwayError as error:
        raise CommandError(
            str(error), remedy=f"The run goes on. {error.remedy} Then watch it: slipway logs {name} -f"
        ) from error
    return Ended(ended, progress.verdict or ended, environment)


def _settled(gateway: Gateway, run_id: str) -> Json:
    """The run once the catalogue knows its end, which the stream tells a moment earlier; as it is where that takes
    too long."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    while True:
        run = gateway.get_patiently(at("runs", run_id))
        if run["state"] in _ENDED or time.monotonic() > deadline:
            return run
        time.sleep(_LOOK_SECONDS)


def accepted(here: Session, answer: Json) -> None:
    """Print the id of a run that nobody waits for."""
    if here.output.for_programs:
        here.output.document(answer)
    else:
        here.output.say(answer["run"]["id"])
        here.output.note(f"Watch it: slipway logs {answer['environment']['name']} -f")


def usual_seconds(gateway: Gateway, golden_path: str) -> dict[str, float]:
    """The median seconds of each step of a golden path, from the platform's own history; empty where it has none, or
    cannot say now: the run that they are shown beside is under way already."""
    try:
        durations = gateway.get(at("golden-paths", golden_path)).get("durations") or []
    except CommandError:
        return {}
    return {item["step"]: item["p50_seconds"] for item in durations if item.get("count")}
