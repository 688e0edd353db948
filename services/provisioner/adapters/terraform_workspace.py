"""The files around one environment's Terraform: its configuration, its lock, the environment it runs in.

Invariants: a file is replaced whole; the configuration directory holds what a commit says and what Terraform itself
keeps there, nothing else; no path from a commit leads out of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from chassis.failures import PermanentError, TransientError
from services.provisioner.ports import Files

CLI_CONFIG: Final = "terraform.rc"
SCRATCH: Final = ".plans"
"""Beside the environments' directories; no name of an environment begins with a dot."""
_COPY_TRIES: Final = 10
_COPY_PAUSE_SECONDS: Final = 0.05
_PASSED_ON: Final = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
_KEPT: Final = frozenset({".terraform", ".terraform.lock.hcl", "errored.tfstate"})


@dataclass(frozen=True, slots=True)
class TerraformKnobs:
    """How Terraform is run.

    `argv` is the command before its arguments; `directory` holds a directory an environment; `sockets` is short,
    private and ours; `also_passed_on` names variables of our own environment that Terraform may see, beside the few
    that any program needs; `provider_mirror` is a filesystem mirror of providers, where no registry is reachable.
    """

    argv: tuple[str, ...]
    directory: Path
    sockets: Path
    also_passed_on: tuple[str, ...] = ()
    provider_mirror: Path | None = None
    command_timeout_seconds: float = 1800.0
    stop_grace_seconds: float = 20.0
    lock_timeout_seconds: int = 10
    runs_at_once: int = 8
    plan_timeout_seconds: float = 60.0
    plans_at_once: int = 2
    plans_waiting: int = 16


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold an environment's directory; TransientError while another run, of any process, holds it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(f"another run of {directory.name} is still under way", delay_seconds=2) from None
        yield


def environment_of(knobs: TerraformKnobs) -> dict[str, str]:
    names = (*_PASSED_ON, *knobs.also_passed_on)
    passed_on = {name: os.environ[name] for name in names if name in os.environ}
    return passed_on | {
        "HOME": str(knobs.directory),
        "CHECKPOINT_DISABLE": "1",
        "TFCLI_CONFIG_FILE": str(knobs.directory / CLI_CONFIG),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
    }


def cli_config(knobs: TerraformKnobs) -> str:
    text = "disable_checkpoint = true\n"
    if knobs.provider_mirror is not None:
        path = json.dumps(str(knobs.provider_mirror)).replace("${", "$${").replace("%{", "%%{")
        text += f"provider_installation {{\n  filesystem_mirror {{\n    path = {path}\n  }}\n}}\n"
    return text


def lay_out(directory: Path, files: Files) -> None:
    """Make `directory` hold exactly `files`, beside what Terraform itself keeps there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = {}
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or path.parts[0] in _KEPT:
            raise PermanentError(
                "bad_path", f"the commit has a file that may not be there: {name!r}", next_step="Remove that file."
            )
        wanted[directory / path] = content
    for found in sorted(directory.rglob("*"), reverse=True):
        if found.relative_to(directory).parts[0] in _KEPT or found in wanted:
            continue
        if found.is_dir() and not found.is_symlink():
            if not any(found.iterdir()):
                found.rmdir()
        else:
            found.unlink()
    for target, content in wanted.items():
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            write(target, content)


def write(path: Path, content: bytes) -> None:
    """Replace `path` whole, readable by us alone, also where several processes do so at once."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def mark(path: Path) -> None:
    """Leave a file that survives a power cut: it says that what was made may be more than what is recorded."""
    with path.open("w") as file:
        os.fsync(file.fileno())


@contextmanager
def scratch(knobs: TerraformKnobs, environment: str) -> Iterator[Path]:
    """A directory that looks like the environment's own and is gone afterwards."""
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    directory = knobs.directory / SCRATCH / token / environment
    directory.mkdir(mode=0o700, parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory.parent)


def remove_stale_scratch(knobs: TerraformKnobs) -> None:
    """Remove what processes left that were killed before they could."""
    for directory in (knobs.directory / SCRATCH).glob("*-*"):
        pid = directory.name.split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(directory, ignore_errors=True)


def copy_state(source: Path, target: Path) -> None:
    """Copy a state that somebody may be writing: Terraform writes it in place, so a torn one is read again. A missing
    one is no failure. Raises TransientError where it stays torn."""
    for _ in range(_COPY_TRIES):
        try:
            content = source.read_bytes()
            json.loads(content)
        except FileNotFoundError:
            return
        except ValueError:
            time.sleep(_COPY_PAUSE_SECONDS)
        else:
            write(target, content)
            return
    raise TransientError(f"the state of {source.parent.name} is being written", delay_seconds=2)


def has_resources(state: Path) -> bool:
    try:
        return bool(json.loads(state.read_text(encoding="utf-8")).get("resources"))
    except FileNotFoundError:
        return False
