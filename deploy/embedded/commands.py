"""What a person can tell the platform: up, down, restart, reset, demo.

Each command holds the home's lock while it changes anything and prints the way on at its end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from deploy.embedded import leftovers, lifecycle, status
from deploy.embedded.errors import PlatformError
from deploy.embedded.home import HOME_VARIABLE, Home
from deploy.embedded.parts import Part
from deploy.embedded.platform import Platform
from deploy.embedded.ports import BASE_VARIABLE, require_free
from deploy.embedded.processes import binary
from deploy.embedded.progress import console, shown

_DEMO_NAME = "demo-api"
_DEMO_GOLDEN_PATH = "nodejs-api"
_CLI_NOT_FOUND = 4


def up(names: Sequence[str] = ()) -> None:
    """Start the platform, or the parts called `names`; what runs already is left alone."""
    begun = time.monotonic()
    platform = Platform.from_environment()
    with platform.home.locked():
        parts = platform.selected(names)
        if platform.supervisor.pid is not None and _is_up(platform, parts):
            console().print("Slipway is already running.")
            _say_where(platform, parts)
            return
        try:
            _bring_up(platform, parts)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
            console().print("\nInterrupted: stopping what was started ...")
            lifecycle.take_down(platform)
            console().print("Nothing is left running.")
            raise
    console().print(f"\nSlipway is up after {time.monotonic() - begun:.1f} s.")
    _say_where(platform, parts)


def _is_up(platform: Platform, parts: Sequence[Part]) -> bool:
    """Whether every part answers and is what this version would start."""
    platform.require_recorded_base()
    names = {part.name for part in parts}
    rows = [row for row in status.rows(platform) if row.part.name in names]
    launches = {part.name: part.launch() for part in platform.parts}
    return not status.not_ready(rows) and not platform.supervisor.outdated(launches)


def _bring_up(platform: Platform, parts: Sequence[Part]) -> None:
    supervisor = platform.supervisor
    running = supervisor.pid is not None
    if not running:
        orphans = leftovers.find(platform.home)
        if orphans:
            console().print(f"Ending {len(orphans)} processes that a killed platform left behind ...")
            leftovers.end(orphans)
        require_free({name: port for part in parts for name, port in part.ports.items()})
    platform.prepare()
    outdated = supervisor.configure({part.name: part.launch() for part in platform.parts})
    if running:
        supervisor.take_up_new_programs()
        supervisor.stop_programs(sorted(outdated))
    else:
        supervisor.start()
    platform.describe()
    with shown([part.name for part in parts]) as progress:
        lifecycle.Starter(parts, supervisor, platform, progress).run()


def _say_where(platform: Platform, parts: Sequence[Part]) -> None:
    output = console()
    for part in sorted(parts, key=lambda part: not part.is_service):
        if part.address:
            output.print(f"  {'portal' if part.is_service else part.name:<10} {part.address}", markup=False)
    output.print(f"  home       {platform.home.root}")
    output.print(f"  {status.sign_in_hint(platform)}", markup=False)
    output.print("Next: slipway create NAME --template nodejs-api, or `make demo`; `make down` stops it.")


def down() -> None:
    """Stop the platform; its data stays."""
    platform = Platform.as_recorded()
    with platform.home.locked():
        stopped = lifecycle.take_down(platform)
    console().print("Slipway is down; `make up` brings it back." if stopped else "Slipway is not running.")


def restart(names: Sequence[str]) -> None:
    """Stop and start the parts called `names`, for instance after a change to their code."""
    platform = Platform.as_recorded()
    parts = platform.selected(names)
    with platform.home.locked():
        if platform.supervisor.pid is None:
            raise PlatformError("Slipway is not running", remedy="run `make up`")
        platform.supervisor.stop_programs([part.name for part in parts])
        with shown([part.name for part in parts]) as progress:
            lifecycle.Starter(parts, platform.supervisor, platform, progress).run()


def reset(*, confirmed: bool) -> None:
    """Stop the platform and delete its home with everything in it."""
    platform = Platform.as_recorded()
    home = platform.home
    if not home.root.exists():
        shutil.rmtree(home.sockets, ignore_errors=True)  # an `up` that was refused leaves it
        console().print(f"There is nothing at {home.root}.")
        return
    if not home.exists:
        raise PlatformError(
            f"{home.root} is not a Slipway home: nothing was deleted", remedy=f"look at {HOME_VARIABLE}"
        )
    if not confirmed:
        _ask_for_name(home)
    with home.locked():
        lifecycle.take_down(platform)
        shutil.rmtree(home.root)
    shutil.rmtree(home.sockets)
    console().print(f"{home.root} is gone.")


def _ask_for_name(home: Home) -> None:
    if not sys.stdin.isatty():
        raise PlatformError(
            "reset deletes every environment, database and log of this platform: nothing was deleted",
            remedy="say yes with `-y` or SLIPWAY_YES=1",
        )
    console().print(f"This deletes {home.root}: every environment, database, repository and log.")
    if input(f"Type its name ({home.root.name}) to go on: ").strip() != home.root.name:
        raise PlatformError("the name does not match: nothing was deleted")


def demo() -> int:
    """Bring the platform up and make an environment, or show the one from last time. Answers the exit code."""
    up()
    platform = Platform.as_recorded()
    environment = os.environ | {
        HOME_VARIABLE: str(platform.home.root),
        BASE_VARIABLE: str(platform.ports.base),
    }
    slipway = binary("slipway")
    shown_before = subprocess.run(
        [slipway, "show", _DEMO_NAME], env=environment, check=False, capture_output=True, text=True
    )
    if shown_before.returncode != _CLI_NOT_FOUND:
        sys.stdout.write(shown_before.stdout)
        sys.stderr.write(shown_before.stderr)
        return shown_before.returncode
    create = [slipway, "create", _DEMO_NAME, "--template", _DEMO_GOLDEN_PATH]
    return subprocess.run(create, env=environment, check=False).returncode
