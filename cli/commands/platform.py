"""up, down, status, demo, doctor: the embedded platform on this machine."""

import os
import sys

import typer

from cli.platforms import HOME_VARIABLE, home
from cli.session import session


def _embedded(*arguments: str) -> None:
    """Hand this process over to the embedded platform, which may not be installed with a client alone."""
    os.environ.setdefault(HOME_VARIABLE, str(home()))
    os.execv(sys.executable, [sys.executable, "-m", "deploy.embedded", *arguments])  # noqa: S606 - ourselves, no shell


def up() -> None:
    """Start the platform on this machine."""
    _embedded("up")


def down() -> None:
    """Stop it."""
    _embedded("down")


def status(context: typer.Context) -> None:
    """Show its processes."""
    _embedded("status", "--output", session(context).output.form)


def demo() -> None:
    """Start it and create the environment demo-api."""
    _embedded("demo")


def doctor(context: typer.Context) -> None:
    """Say what is wrong, and how to mend it."""
    _embedded("doctor", "--output", session(context).output.form)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (up, down, status, demo, doctor):
        app.command(command.__name__)(command)
