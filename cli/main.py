"""The `slipway` command: global flags, commands, and the one place where errors become exit codes."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import click
import typer

from cli.commands import environments, platform, runs
from cli.commands.admin import admin
from cli.failures import CommandError, Exit
from cli.output import Format, Output
from cli.session import Session

app = typer.Typer(
    name="slipway",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "SLIPWAY", "help_option_names": ["-h", "--help"]},
    help="Environments in minutes: pick a golden path, name it, pick a branch.",
)


@app.callback()
def root(
    context: typer.Context,
    output: Annotated[Format, typer.Option("--output", "-o", help="How results are printed.")] = Format.TABLE,
    url: Annotated[str | None, typer.Option(envvar="SLIPWAY_URL", help="The gateway.")] = None,
    token: Annotated[str | None, typer.Option(envvar="SLIPWAY_TOKEN", help="An API token.")] = None,
    token_file: Annotated[Path | None, typer.Option(envvar="SLIPWAY_TOKEN_FILE", help="A file with one.")] = None,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Take the global flags."""
    if show_version:
        sys.stdout.write(f"slipway {version('slipway')}\n")
        raise typer.Exit
    context.obj = Session(Output(output), url, token, token_file)


environments.register(app)
runs.register(app)
platform.register(app)
app.add_typer(admin, name="admin")


def main() -> None:
    """Run a command and exit with its code."""
    output = Output()
    try:
        code = app(standalone_mode=False)
    except CommandError as error:
        output.error(str(error), error.remedy, error.trace_id)
        sys.exit(error.code)
    except click.exceptions.Abort:
        output.progress.print("Nothing was changed.")
        sys.exit(Exit.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(Exit.DONE)
    sys.exit(code if isinstance(code, int) else Exit.DONE)


if __name__ == "__main__":
    main()
