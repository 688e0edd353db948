"""A copy of a home at one moment: whatever writes stands still meanwhile, applications go on answering.

Invariants: nothing that is copied changes while it is copied; what ran before runs again afterwards, also after an
error or an interruption. The ingress and the runtime go on: the slots that they read are written by the provisioner and
on the gateway's word, and both stand still. That nothing else wrote there is looked at, not assumed.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.embedded import leftovers, lifecycle
from deploy.embedded.errors import PlatformError
from deploy.embedded.home import Home
from deploy.embedded.platform import Platform
from deploy.embedded.progress import console, shown

STAGING = ".backup"
_GOING_ON = ("caddy", "runtime")
_LEFT_OUT = frozenset({"etc", "log", STAGING})
"""What is generated at each start, and what was said long ago."""
_LIVE_LOG = "app.log"
_ATTEMPTS = 5
_SPARE_BYTES = 64 << 20


@contextmanager
def copied(platform: Platform) -> Iterator[Path]:
    """A directory with a copy of what the home cannot make again; it goes when the block ends. The platform is stopped
    only while it is copied. Raises PlatformError. The caller holds the home's lock."""
    home = platform.home
    staging = home.root / STAGING
    shutil.rmtree(staging, ignore_errors=True)  # of a backup that was killed
    if platform.supervisor.pid is None and leftovers.find(home):
        raise PlatformError(
            "processes of a platform that was killed still run", remedy="run `make up` or `make down` first"
        )
    _require_space(home)
    staging.mkdir(mode=0o700)
    try:
        with _standing_still(platform):
            _copy_home(home, staging)
        yield staging
    finally:
        shutil.rmtree(staging)


def _require_space(home: Home) -> None:
    used = sum(
        path.lstat().st_blocks * 512
        for one in _kept(home)
        for path in (one, *(Path(directory, name) for directory, _, names in os.walk(one) for name in names))
        if path.exists()
    )
    free = shutil.disk_usage(home.root).free
    if free < used + _SPARE_BYTES:
        raise PlatformError(
            f"the copy takes {used / 1e6:.0f} MB beside the home, which has {free / 1e6:.0f} MB left",
            remedy="make room there; nothing was stopped",
        )


def _kept(home: Home) -> list[Path]:
    return sorted(path for path in home.root.iterdir() if path.name not in _LEFT_OUT)


@contextmanager
def _standing_still(platform: Platform) -> Iterator[None]:
    states = platform.supervisor.states()
    ran = [part for part in platform.parts if part.name in states and states[part.name].is_running]
    if not ran:
        yield
        return
    output = console()
    output.print("Stopping everything but the applications ...")
    begun = time.monotonic()
    try:
        for stage in lifecycle.stop_order([part for part in ran if part.name not in _GOING_ON]):
            platform.supervisor.stop_programs(stage)
        yield
        output.print(f"Copied after {time.monotonic() - begun:.1f} s; starting again ...")
    finally:
        with shown([part.name for part in ran]) as progress:
            lifecycle.Starter(ran, platform.supervisor, platform, progress).run()
    output.print(f"The platform was away for {time.monotonic() - begun:.1f} s; applications were not.")


def _copy_home(home: Home, staging: Path) -> None:
    for path in _kept(home):
        if path != home.data:
            _copy(path, staging / path.name)
    (staging / home.data.name).mkdir(mode=stat.S_IMODE(home.data.stat().st_mode))
    for path in sorted(home.data.iterdir()):
        (_copy_live if path.name in _GOING_ON else _copy)(path, staging / home.data.name / path.name)


def _copy_live(source: Path, target: Path) -> None:
    """Copy what somebody may write to, again until nobody did. A log that grows is another matter."""
    for _ in range(_ATTEMPTS):
        before = _look(source)
        try:
            _copy(source, target)
        except FileNotFoundError:
            before = {}
        if before == _look(source):
            return
        shutil.rmtree(target)
    raise PlatformError(
        f"{source} does not come to rest: an application writes there all the time",
        remedy="run `make down`, then the backup, then `make up`",
    )


def _look(root: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            if not name.startswith(_LIVE_LOG):
                path = Path(directory, name)
                now = path.lstat()
                changed_ns = 0 if stat.S_ISDIR(now.st_mode) else now.st_mtime_ns
                found[str(path)] = (now.st_ino, now.st_size, changed_ns)
    return found


def _copy(source: Path, target: Path) -> None:
    """Copy files, directories and links with their modes; sockets, pipes and devices belong to running programs."""
    mode = source.lstat().st_mode
    if stat.S_ISLNK(mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISDIR(mode):
        target.mkdir(mode=0o700)
        for path in source.iterdir():
            _copy(path, target / path.name)
        target.chmod(stat.S_IMODE(mode))
    elif stat.S_ISREG(mode):
        shutil.copyfile(source, target)
        target.chmod(stat.S_IMODE(mode))
