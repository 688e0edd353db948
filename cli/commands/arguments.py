"""Arguments and options that several commands take."""

import json
from collections.abc import Iterable
from typing import Annotated, NoReturn

import typer

from cli import completion
from cli.failures import CommandError, Exit

Name = Annotated[str, typer.Argument(help="The environment's name.", autocompletion=completion.environments)]
NameOrRun = Annotated[
    str, typer.Argument(help="The environment's name, or a run's id.", autocompletion=completion.environments)
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the run's id and return.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Say what would happen, and do nothing.")]
Agreed = Annotated[
    str | None,
    typer.Option(metavar="HASH", help="Only if the plan is still the one with this hash, as --plan printed it."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (on a terminal).")]
Confirm = Annotated[str | None, typer.Option(help="The name once more: needed off a terminal for what destroys data.")]


def parameter(text: str) -> tuple[str, object]:
    """What `--set` means: JSON where it is that, else a word. Raises CommandError."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise CommandError(f"{text!r} is no parameter.", remedy="Write --set key=value.", code=Exit.USAGE)
    try:
        return key, json.loads(value, parse_constant=_no_number)
    except ValueError:
        return key, value


def parameters(texts: Iterable[str] | None) -> dict[str, object]:
    """All of them."""
    return dict(parameter(text) for text in texts or ())


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is a word, whatever Python thinks")
