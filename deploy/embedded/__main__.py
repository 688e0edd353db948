"""`python -m deploy.embedded`: the platform on this machine. `--help` lists what it can do.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from deploy.embedded import backup, commands, doctor, log_commands, logs, reader_commands, rotation, status
from deploy.embedded.errors import PlatformError
from deploy.embedded.home import HOME_VARIABLE, Home
from deploy.embedded.platform import Platform
from deploy.embedded.ports import BASE_VARIABLE
from deploy.embedded.progress import console

_REFUSED = 3
_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command; answers its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except PlatformError as error:
        _explain(error)
        return _REFUSED if options.command == "reset" else 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except PermissionError as error:
        _explain(PlatformError(str(error), remedy=f"set {HOME_VARIABLE} to a directory that is yours"))
        return 1
    except BrokenPipeError:
        # The reader of our output went away (`logs | head`): nothing is wrong, nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "up":
            commands.up(_names(options.only))
        case "down":
            commands.down()
        case "restart":
            commands.restart(options.process)
        case "reset":
            commands.reset(confirmed=options.yes or bool(os.environ.get("SLIPWAY_YES")))
        case "demo":
            return commands.demo()
        case "verify-log":
            return log_commands.verify_log()
        case "restore-log":
            log_commands.restore_log(discard=options.discard)
        case "backup" | "restore" | "rotate":
            _keep(options)
        case "readers":
            _readers(options)
        case _:
            return _look(options)
    return 0


def _keep(options: argparse.Namespace) -> None:
    if options.command == "rotate":
        rotation.rotate(options.what)
    elif options.command == "restore":
        backup.restore(options.file, passphrase_file=options.passphrase_file, force=options.force)
    elif options.verify:
        backup.verify(options.file, passphrase_file=options.passphrase_file)
    else:
        backup.backup(options.file, passphrase_file=options.passphrase_file, force=options.force)


def _readers(options: argparse.Namespace) -> None:
    match options.action:
        case "add":
            reader_commands.add(options.name, options.team)
        case "rm":
            reader_commands.remove(options.name)
        case _:
            reader_commands.show(options.output)


def _look(options: argparse.Namespace) -> int:
    """What changes nothing."""
    match options.command:
        case "status":
            return 0 if status.show(Platform.as_recorded(), options.output) else 1
        case "logs":
            logs.show(Home.from_environment(), options.process, count=options.lines, follow=options.follow)
        case "doctor":
            return 0 if doctor.show(Platform.as_recorded(), options.output) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.embedded",
        description="The whole platform on this machine, without Docker.",
        epilog=f"{HOME_VARIABLE} is where it lives (.slipway), {BASE_VARIABLE} its first port (8000).",
    )
    commands_ = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands_.add_parser("up", help="start it, or what of it does not run")
    up.add_argument("--only", metavar="PART,PART", default="", help="start these parts alone")
    commands_.add_parser("down", help="stop it; its data stays")
    restart = commands_.add_parser("restart", help="stop and start single processes")
    restart.add_argument("process", nargs="+")
    look = commands_.add_parser("status", help="what runs, how long, how much memory, whether it answers")
    log = commands_.add_parser("logs", help="the end of the logs")
    log.add_argument("process", nargs="*")
    log.add_argument("-f", "--follow", action="store_true", help="go on printing what is added")
    log.add_argument("-n", "--lines", type=int, default=20, help="how many lines of each (20)")
    reset = commands_.add_parser("reset", help="stop it and delete everything it has")
    reset.add_argument("-y", "--yes", action="store_true", help="do not ask (SLIPWAY_YES)")
    examine = commands_.add_parser("doctor", help="what is wrong with this machine or platform, and how to mend it")
    for parser_ in (look, examine):
        parser_.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    commands_.add_parser("demo", help="start it and make the environment demo-api")
    commands_.add_parser("verify-log", help="whether the catalog's copy of the log is as it was written")
    restore = commands_.add_parser("restore-log", help="put a lost log back from the catalog's copy")
    restore.add_argument("--discard", action="store_true", help="give up a log that has begun anew")
    keep = commands_.add_parser("backup", help="write everything that cannot be made again to one file")
    keep.add_argument("--verify", action="store_true", help="look through a file that was written; write none")
    put_back = commands_.add_parser("restore", help="put a backup in the place of an empty home")
    for parser_ in (keep, put_back):
        parser_.add_argument("file", type=Path, metavar="FILE")
        parser_.add_argument("--passphrase-file", type=Path, metavar="FILE", help="what it is sealed with")
        parser_.add_argument("--force", action="store_true", help="replace what is there")
    rotate = commands_.add_parser(
        "rotate", help="give credentials anew while it works", epilog="; ".join(rotation.explained())
    )
    rotate.add_argument("what", choices=(*rotation.KINDS, "all"))
    readers = commands_.add_parser("readers", help="programs that read a team's events on the bus")
    actions = readers.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="let one read, with a key of its own")
    add.add_argument("name")
    add.add_argument("--team", required=True)
    listed = actions.add_parser("ls", help="who reads whose events")
    listed.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    actions.add_parser("rm", help="end one; it is disconnected at once").add_argument("name")
    return parser


def _names(only: str) -> list[str]:
    return [name.strip() for name in only.split(",") if name.strip()]


def _explain(error: PlatformError) -> None:
    output = console()
    sys.stdout.flush()
    output.print(f"\n{error}", style="bold red", markup=False)
    if error.details:
        output.print("\n".join(f"  | {line}" for line in error.details.strip().splitlines()), markup=False)
    if error.remedy:
        output.print(f"What to do: {error.remedy}", markup=False)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
