"""The `slipway` command: global flags, commands, and the one place where errors become exit codes."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

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


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"slipway {version('slipway')}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    output: Annotated[Format, typer.Option("--output", "-o", help="How results are printed.")] = Format.TABLE,
    url: Annotated[str | None, typer.Option(envvar="SLIPWAY_URL", help="The gateway.")] = None,
    token: Annotated[str | None, typer.Option(envvar="SLIPWAY_TOKEN", help="An API token.")] = None,
    token_file: Annotated[Path | None, typer.Option(envvar="SLIPWAY_TOKEN_FILE", help="A file with one.")] = None,
    show_version: Annotated[  # noqa: ARG001 - its callback has done it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the global flags."""
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
    except typer.Abort:
        output.progress.print("Nothing was changed.")
        sys.exit(Exit.INTERRUPTED)
    except typer.TyperException as error:
        _explain_usage(output, error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(Exit.DONE)
    sys.exit(code if isinstance(code, int) else Exit.DONE)


def _explain_usage(output: Output, error: typer.TyperException) -> None:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else app.info.name
    if message := error.format_message():
        output.error(message, f"`{command} --help` says what it takes.")


if __name__ == "__main__":
    main()
