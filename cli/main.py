"""The `slipway` command: global flags, commands, and the one place where errors become exit codes."""

import io
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from cli.commands import (
    changing,
    cloning,
    creating,
    deployments,
    environments,
    golden_paths,
    keeping,
    kubeconfig,
    life,
    login,
    past,
    platform,
    removing,
    rollouts,
    runs,
    steering,
    tokens,
    upgrading,
)
from cli.commands.access import access
from cli.commands.admin import admin
from cli.commands.feedback import feedback
from cli.commands.webhooks import webhooks
from cli.failures import CommandError, Exit, ReaderGoneError
from cli.output import Format, Output, drop_output
from cli.session import Session

_TAKES_A_VALUE = ("--output", "--url", "--token", "--token-file")
_TERMINATED = 128 + signal.SIGTERM

app = typer.Typer(
    name="slipway",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "SLIPWAY", "help_option_names": ["-h", "--help"]},
    help="Environments in minutes: pick a golden path, name it, pick a branch.",
    epilog="-o, --url, --token and --token-file may also stand after the command."
    " Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found, 130 interrupted.",
)


def _print_version(wanted: bool) -> None:
    # Before a command is looked for: nobody who asks for the version names one.
    if wanted:
        sys.stdout.write(f"slipway {version('slipway')}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    output: Annotated[Format, typer.Option("--output", "-o", help="How results are printed.")] = Format.TABLE,
    url: Annotated[str | None, typer.Option(help="The gateway; this directory's platform if left out.")] = None,
    token: Annotated[str | None, typer.Option(help="An API token; others see what stands in a command line.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file that holds an API token.")] = None,
    show_version: Annotated[  # noqa: ARG001 - its callback has done it
        bool,
        # SLIPWAY_VERSION=0.1.0 may well be set for something else.
        typer.Option(
            "--version", callback=_print_version, help="Print the version.", is_eager=True, allow_from_autoenv=False
        ),
    ] = False,
) -> None:
    """Take the global flags."""
    context.obj = Session(Output(output), url, token, token_file)


for group in (
    creating,
    environments,
    changing,
    upgrading,
    rollouts,
    life,
    kubeconfig,
    removing,
    cloning,
    deployments,
    runs,
    past,
    steering,
    golden_paths,
    tokens,
    login,
    platform,
):
    group.register(app)
app.add_typer(access, name="access")
app.add_typer(feedback, name="feedback")
app.add_typer(webhooks, name="webhooks")
keeping.register(admin)
app.add_typer(admin, name="admin")


def main() -> None:
    """Run the command of this process, and exit with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✓ is no reason to fail
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command; answers its exit code."""
    output = Output()
    try:
        return app(args=globals_first(arguments), prog_name="slipway", standalone_mode=False) or Exit.DONE
    except CommandError as error:
        output.error(error)
        return error.code
    except typer.Abort:
        output.note("\nNothing was changed.")
        return Exit.INTERRUPTED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except typer.TyperException as error:
        if error.format_message():  # nothing was asked for: the help is printed already
            output.error(_usage(error))
        return error.exit_code
    except ReaderGoneError:
        drop_output()
        return Exit.DONE


def globals_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with the global flags before the command, where Typer wants them: people write them last."""
    first: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--":
            return [*first, *rest, argument, *left]
        if argument == "-o" or argument in _TAKES_A_VALUE:
            first += [argument, *left[:1]]
            del left[:1]
        elif argument.startswith((*(f"{flag}=" for flag in _TAKES_A_VALUE), "-o")):
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest


def _usage(error: typer.TyperException) -> CommandError:
    """What Typer has to say of the arguments, said as we say it."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else app.info.name
    return CommandError(error.format_message(), remedy=f"`{command} --help` says what it takes.", code=Exit.USAGE)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)  # through the live view, which gives the cursor back


if __name__ == "__main__":
    main()
