"""templates: what environments are made from."""

from typing import Annotated

import typer

from cli import completion
from cli.gateway import at
from cli.screens import golden_path as screen
from cli.session import session


def templates(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One golden path.", autocompletion=completion.golden_paths)] = None,
) -> None:
    """List the golden paths, or show one with its parameters."""
    here = session(context)
    found = here.gateway.get(at("golden-paths", *([name] if name else [])))
    if here.output.for_programs:
        here.output.document(found if name else found["items"])
    elif name:
        screen.page(here.output, found)
    else:
        rows = (screen.row(item) for item in found["items"])
        here.output.table(screen.COLUMNS, rows, empty="No golden paths are installed.")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("templates")(templates)
