"""Who reads which team's feed, and how the running bus learns of it.

Invariants: the list is the one place that says who is a reader, and what the bus has follows from it at every start;
a change of the list takes effect without a restart, and whoever is no reader any more is disconnected at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from contracts.readers import Reader, ReaderList
from deploy.embedded.errors import PlatformError
from deploy.embedded.home import write_file
from deploy.embedded.local_http import request_json
from deploy.embedded.processes import binary
from deploy.readers import provision_readers
from deploy.streams import BusAccess, StreamsError

_RELOAD_SECONDS = 10.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ReadersFile:
    """The list on disk."""

    path: Path

    def load(self) -> ReaderList:
        """Who is a reader; nobody where there is no file. Raises PlatformError for a file that is not one of ours."""
        try:
            return ReaderList.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return ReaderList()
        except ValidationError as error:
            raise PlatformError(
                f"{self.path} is no list of readers",
                details=str(error),
                remedy="mend it by hand, or delete it and add the readers again",
            ) from error

    def save(self, readers: tuple[Reader, ...]) -> None:
        """Replace the list."""
        write_file(self.path, ReaderList(readers=readers).model_dump_json(indent=2) + "\n")


def take_up(config: Path, monitor_url: str, pid: Callable[[], int]) -> bool:
    """Make the running server use the configuration at `config`; answers whether it used another one.

    No connection is lost but those of users that are no more. `pid` is asked only where there is something to do.
    Raises PlatformError where the server does not take it up.
    """
    wanted = _digest(config)
    if _digest_in_use(monitor_url) == wanted:
        return False
    os.kill(pid(), signal.SIGHUP)
    deadline = time.monotonic() + _RELOAD_SECONDS
    while _digest_in_use(monitor_url) != wanted:
        if time.monotonic() > deadline:
            raise PlatformError(
                "nats-server did not take up its new configuration",
                remedy="look why: python -m deploy.embedded logs nats",
            )
        time.sleep(_POLL_SECONDS)
    return True


def provide(access: BusAccess, readers: ReaderList) -> None:
    """Make the readers' durables, and remove those of readers that are no more."""
    try:
        asyncio.run(provision_readers(access, readers.readers))
    except StreamsError as error:
        raise PlatformError(f"the readers' durables could not be made: {error}") from error


def _digest(config: Path) -> str:
    """What the server calls this configuration; by the way it looks whether it is one."""
    checked = subprocess.run(
        [binary("nats-server"), "-c", str(config), "-t"], capture_output=True, text=True, check=False
    )
    said = checked.stdout + checked.stderr
    if checked.returncode != 0 or "(sha256:" not in said:
        raise PlatformError(f"nats-server refuses {config}", details=said)
    return said.rpartition("(")[2].partition(")")[0]


def _digest_in_use(monitor_url: str) -> str:
    return str(request_json("GET", f"{monitor_url}/varz")["config_digest"])
