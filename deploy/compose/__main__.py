"""`python -m deploy.compose COMMAND`: what the containers of `docker-compose.yml` run beside the services.

`prepare`, `database` and `provision` are its jobs; `ingress` and `demo` are what their names say; `pin` renews the
digests of images, on a machine with Docker.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from deploy import streams
from deploy.compose import images, jobs, running
from deploy.compose.places import Containers
from deploy.embedded.errors import PlatformError
from deploy.embedded.local_http import HttpError

_JOBS: Mapping[str, Callable[[Containers], list[str]]] = {
    "prepare": jobs.prepare,
    "database": jobs.database,
    "provision": jobs.provision,
}


def main() -> int:
    """0 when it is done, 1 with the reason on stderr when it is not."""
    arguments = _parser().parse_args()
    try:
        return _run(arguments)
    except PlatformError as error:
        _say(str(error), error.details, f"What to do: {error.remedy}" if error.remedy else "")
    except (HttpError, OSError, psycopg.Error, streams.StreamsError) as error:
        _say(f"{arguments.command} failed: {error}", "It is safe to run it again: docker compose up")
    return 1


def _run(arguments: argparse.Namespace) -> int:
    command: str = arguments.command
    if command == "pin":
        return _pin(check=arguments.check)
    setup = Containers.from_environment()
    if command == "ingress":
        running.ingress(setup)
    if command == "demo":
        return running.demo(setup, arguments.token_file)
    changed = _JOBS[command](setup)
    sys.stdout.write("".join(f"{line}\n" for line in changed) or "nothing to change\n")
    return 0


def _pin(*, check: bool) -> int:
    changed = images.renew((images.COMPOSE_FILE, images.DOCKERFILE), write=not check)
    for image, digest in changed.items():
        sys.stdout.write(f"{image.version}: {image.digest} is {digest} now\n")
    if not changed:
        sys.stdout.write("every digest is the one that its version has\n")
    return 1 if check and changed else 0


def _say(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines if line))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.compose", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in (*_JOBS, "ingress"):
        commands.add_parser(name)
    demo = commands.add_parser("demo", help="make the environment demo-api")
    demo.add_argument("--token-file", type=Path, required=True)
    pin = commands.add_parser("pin", help="ask the registries for the digests of our images' versions")
    pin.add_argument("--check", action="store_true", help="change nothing; exit code 1 where one is out of date")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
