"""Asking before something is destroyed: for the name on a terminal, for `--confirm` off one; for the number of many.

Invariant: what raises has changed nothing.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import typer

from cli.failures import CommandError, Exit


@dataclass(frozen=True)
class Assent:
    """What was said of it in advance: `-y`, and `--confirm WORD`."""

    yes: bool = False
    confirm: str | None = None


def by_name(name: str, assent: Assent, *, deed: str, prompt: str, show: Callable[[], None]) -> None:
    """Go on only where somebody means `name`. `deed` is what needs it (`Deleting x`), `show` tells a person what goes.
    Raises CommandError."""
    _ask(name, assent, f"{deed} needs its name once more", prompt=prompt, what="its name", show=show)


def by_count(count: int, assent: Assent, *, deed: str, prompt: str, show: Callable[[], None]) -> None:
    """The same for many at once: how many they are."""
    _ask(str(count), assent, f"{deed} needs their number", prompt=prompt, what="their number", show=show)


def _ask(word: str, assent: Assent, need: str, *, prompt: str, what: str, show: Callable[[], None]) -> None:
    if assent.confirm is not None and assent.confirm != word:
        raise CommandError(
            f"--confirm says {assent.confirm}, not {word}.",
            remedy=f"Say --confirm {word} if you mean it. Nothing was changed.",
            code=Exit.USAGE,
        )
    if assent.confirm == word:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            f"{need}, for nobody can be asked here.",
            remedy=f"Add --confirm {word}. Nothing was changed.",
            code=Exit.USAGE,
        )
    if assent.yes:
        return
    show()
    if typer.prompt(prompt, err=True).strip() != word:
        raise CommandError(f"This is not {what}.", remedy="Nothing was changed.", code=Exit.REFUSED)
