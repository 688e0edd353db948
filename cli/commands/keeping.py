"""admin backup, restore, rotate: what the operator does on the platform's own machine to keep it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.platform import hand_over

_PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", metavar="FILE", help="Holds the passphrase that seals the file.")
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE|DIRECTORY", help="Where to write it, or what to look through.")],
    passphrase_file: _PassphraseFile = None,
    verify: Annotated[bool, typer.Option("--verify", help="Look through a backup; write none.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")] = False,
) -> None:
    """Write everything that cannot be made again to one file. The platform stands still for seconds; applications go
    on."""
    flags = [*_sealed(passphrase_file), *_flag("--verify", verify), *_flag("--force", force)]
    hand_over("backup", *flags, "--", str(file))


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.")],
    passphrase_file: _PassphraseFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a platform that does not run; it is kept.")] = False,
) -> None:
    """Put a backup in the place of an empty home. Nothing changes unless all of it is as it was written."""
    hand_over("restore", *_sealed(passphrase_file), *_flag("--force", force), "--", str(file))


def rotate(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="bus, database, openbao, forge, webhooks or all.")],
) -> None:
    """Give credentials of the platform anew while it works; no run fails. Each service is away for a moment."""
    hand_over("rotate", "--", what)


def _sealed(passphrase_file: Path | None) -> list[str]:
    return [f"--passphrase-file={passphrase_file}"] if passphrase_file else []


def _flag(name: str, is_set: bool) -> list[str]:
    return [name] if is_set else []


def register(admin: typer.Typer) -> None:
    """Add these commands below `admin`."""
    for command in (backup, restore, rotate):
        admin.command(command.__name__)(command)
