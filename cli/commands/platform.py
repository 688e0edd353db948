"""up, down, status, demo, doctor: the embedded platform on this machine, or how a gateway elsewhere is doing."""

import os
import sys
from importlib.util import find_spec
from typing import NoReturn

import typer

from cli.failures import CommandError, Exit
from cli.platforms import HOME_VARIABLE, description, home
from cli.screens import checks as screen
from cli.session import session

_MODULE = "deploy.embedded"
_PORT_BASE_VARIABLE = "SLIPWAY_PORT_BASE"


def up() -> None:
    """Start the platform on this machine."""
    hand_over("up")


def down() -> None:
    """Stop it; its data stays."""
    hand_over("down")


def status(context: typer.Context) -> None:
    """Show its processes."""
    hand_over("status", "--output", session(context).output.form)


def demo() -> None:
    """Start it and create the environment demo-api."""
    hand_over("demo")


def doctor(context: typer.Context) -> None:
    """Say what is wrong, and how to mend it: of this machine's platform, or of the gateway that --url names."""
    here = session(context)
    if here.url is None and (description() or _is_installed()):
        hand_over("doctor", "--output", here.output.form)
    if not screen.show(here):
        raise typer.Exit(Exit.FAILED)


def _is_installed() -> bool:
    """Whether the embedded platform is; a client may be installed alone."""
    try:
        return find_spec(_MODULE) is not None
    except ModuleNotFoundError:
        return False


def hand_over(*arguments: str) -> NoReturn:
    """Hand this process over to the embedded platform (`python -m deploy.embedded`)."""
    if not _is_installed():
        raise CommandError(
            "Only the command line is installed here, not the platform.",
            remedy="Name a platform elsewhere with --url (SLIPWAY_URL), or run `make install` in a checkout.",
            code=Exit.USAGE,
        )
    os.environ.setdefault(HOME_VARIABLE, str(home()))
    if base := description().get("port_base"):
        os.environ.setdefault(_PORT_BASE_VARIABLE, str(base))
    sys.stdout.flush()
    # -P: a directory called `deploy` where one happens to stand is not ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", _MODULE, *arguments])  # noqa: S606 - ourselves, no shell


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (up, down, status, demo, doctor):
        app.command(command.__name__)(command)
