"""Where a platform lives: its directories, its short socket directory, its lock and its description.

Invariants: a directory is only ever deleted when it carries our marker; every file with a secret is
0600 in a 0700 directory; files are replaced whole (written beside, synced, renamed), so a kill never
leaves half a configuration.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deploy.embedded.errors import PlatformError

HOME_VARIABLE = "SLIPWAY_HOME"
DEFAULT_HOME = ".slipway"
_MARKER = ".slipway-home"
_MARKER_TEXT = "This directory belongs to Slipway. It is deleted by `make reset`.\n"
_SOCKET_PATH_MAX_BYTES = 107  # sun_path of unix(7), without the closing NUL


def write_file(path: Path, content: str | bytes, *, mode: int = 0o600) -> bool:
    """Replace `path` by `content` in one step. Answers whether anything changed."""
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.read_bytes() == data and stat.S_IMODE(path.stat().st_mode) == mode:
            return False
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


@dataclass(frozen=True)
class Home:
    """A platform's directory. `root` is absolute and has no symbolic links."""

    root: Path

    @classmethod
    def at(cls, path: str | Path) -> Home:
        """The home at `path`, which need not exist yet."""
        root = Path(path).expanduser().resolve()
        if not str(root).isprintable():
            raise PlatformError(
                "the path of the home has unprintable characters",
                remedy=f"set {HOME_VARIABLE} to a path without them",
            )
        return cls(root)

    @classmethod
    def from_environment(cls) -> Home:
        """The home named by SLIPWAY_HOME, else `.slipway` here or in the nearest directory above that has one."""
        if named := os.environ.get(HOME_VARIABLE):
            return cls.at(named)
        here = Path.cwd()
        homes = (cls.at(directory / DEFAULT_HOME) for directory in (here, *here.parents))
        return next((home for home in homes if home.exists), cls.at(here / DEFAULT_HOME))

    @property
    def etc(self) -> Path:
        """Generated configuration."""
        return self.root / "etc"

    @property
    def keys(self) -> Path:
        """Generated secrets, one a file."""
        return self.root / "keys"

    @property
    def data(self) -> Path:
        """What must survive: the log, the databases, Git, Terraform state."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """One log a process, rotated by the supervisor."""
        return self.root / "log"

    @property
    def description_file(self) -> Path:
        """`platform.json`: the addresses, for the command line and for people."""
        return self.root / "platform.json"

    @cached_property
    def identity(self) -> str:
        """Eight hex digits that tell this home from any other on the machine."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]

    @cached_property
    def sockets(self) -> Path:
        """Short directory for unix sockets, whose paths the kernel limits to 107 bytes."""
        return Path(f"/tmp/slipway-{os.geteuid()}-{self.identity}")  # noqa: S108 - owner and mode are checked

    def socket(self, name: str) -> Path:
        """The path of a socket called `name`."""
        path = self.sockets / name
        if len(os.fsencode(path)) > _SOCKET_PATH_MAX_BYTES:
            raise PlatformError(f"the socket path {path} is longer than {_SOCKET_PATH_MAX_BYTES} bytes")
        return path

    @property
    def exists(self) -> bool:
        """Whether this is a directory that Slipway made."""
        return (self.root / _MARKER).is_file()

    def prepare(self) -> None:
        """Make the directories, or refuse a directory that holds somebody else's things."""
        if self.root.exists() and not self.exists and any(self.root.iterdir()):
            raise PlatformError(
                f"{self.root} is not empty and is not a Slipway home",
                remedy=f"set {HOME_VARIABLE} to an empty or a new directory",
            )
        for directory in (self.root, self.etc, self.keys, self.data, self.log):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Postgres may have to run as another user, who must be able to pass through to its own directory.
            directory.chmod(0o711 if directory in (self.root, self.data) else 0o700)
        write_file(self.root / _MARKER, _MARKER_TEXT, mode=0o644)
        self.prepare_sockets()

    def prepare_sockets(self) -> None:
        """Make the socket directory, and make sure nobody else made it first."""
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        found = self.sockets.lstat()
        private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
        if not private or found.st_uid != os.geteuid():
            raise PlatformError(
                f"{self.sockets} exists but is not a private directory of this user",
                remedy=f"look at who made it, then remove it: rm -r {self.sockets}",
            )

    def describe(self, description: dict[str, Any]) -> None:
        """Write `platform.json`."""
        text = json.dumps(description, indent=2, sort_keys=True) + "\n"
        write_file(self.description_file, text, mode=0o644)

    def description(self) -> dict[str, Any]:
        """What `platform.json` says; empty when there is none."""
        try:
            found: dict[str, Any] = json.loads(self.description_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the platform for one command; a second `up`, `down` or `reset` is told to wait its turn."""
        self.prepare_sockets()
        with (self.sockets / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PlatformError(
                    "another up, down or reset of this platform is under way",
                    remedy="wait until it has finished, then try again",
                ) from None
            yield
