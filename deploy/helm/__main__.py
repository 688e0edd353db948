"""`python -m deploy.helm write` writes what of the chart follows from the code; `check` says whether it is current, and
`keys DIRECTORY` makes what a new platform needs in OpenBao and in its values.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.embedded.home import write_file
from deploy.helm import generated, keys


def main() -> int:
    """0 when it is done; 1 where something is not current, or the directory is taken."""
    parser = argparse.ArgumentParser(prog="python -m deploy.helm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("write", help="write the chart's generated files")
    commands.add_parser("check", help="change nothing; exit code 1 where one is out of date")
    making = commands.add_parser("keys", help="make keys, and the commands that put them into OpenBao")
    making.add_argument("directory", type=Path, help="a new directory, of which nobody else sees anything")
    making.add_argument("--namespace", default="slipway", help="the namespace of the release")
    arguments = parser.parse_args()
    if arguments.command == "keys":
        return _keys(arguments.directory, arguments.namespace)
    stale = generated.stale()
    for path, text in stale.items():
        sys.stdout.write(f"{path.relative_to(generated.CHART)} is not current\n")
        if arguments.command == "write":
            write_file(path, text, mode=0o644)
    return 1 if stale and arguments.command == "check" else 0


def _keys(directory: Path, namespace: str) -> int:
    try:
        made = keys.make(directory, namespace)
    except FileExistsError:
        sys.stderr.write(f"{directory} is there already: name a new directory, or use what is in it\n")
        return 1
    sys.stdout.write("".join(f"{path.relative_to(directory)}\n" for path in made))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
