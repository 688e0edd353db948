"""Arguments and options that several commands take."""

from typing import Annotated

import typer

from cli import completion

Name = Annotated[str, typer.Argument(help="The environment's name.", autocompletion=completion.environments)]
NameOrRun = Annotated[
    str, typer.Argument(help="The environment's name, or a run's id.", autocompletion=completion.environments)
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the run's id and return.")]
