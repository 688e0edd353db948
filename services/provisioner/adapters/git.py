"""The environments repository, by the git command over smart HTTP: what each environment's directory holds, held and is
to hold (the port `EnvironmentsRepository`). How that gets there is in `git_clone.py`.
"""

import io
import re
import tarfile
from typing import Final

import structlog
from pydantic import ValidationError

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from contracts.values import Receipt
from services.provisioner.adapters.git_clone import Clone, Wanted
from services.provisioner.adapters.git_command import GitKnobs
from services.provisioner.ports import Change, Committed, Files

_log = structlog.get_logger(__name__)

_VERSIONS: Final = 20
"""How many commits in a row may have left an environment without a directory."""
_PATH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_RECEIPT: Final = "Slipway-Receipt: "


class GitEnvironments:
    """The port `EnvironmentsRepository`."""

    def __init__(self, knobs: GitKnobs) -> None:
        """Nothing is touched before the first call."""
        self._clone = Clone(knobs)

    async def write(self, environment: str, files: Files, change: Change) -> Committed:
        """See the port."""
        directory = _directory(environment)
        for path in files:
            if not _PATH.fullmatch(path):
                raise PermanentError("bad_path", f"a file cannot be called {path!r}", next_step="Rename it.")
        entries = {f"{directory}/{path}": content for path, content in files.items()}
        with tracing.span("commit the desired state", attributes={"slipway.environment": environment}):
            commit = await self._clone.push(Wanted(directory, entries, change.author, _message(change, "")))
            if commit is not None:
                return Committed(commit=commit, files=dict(files))
            committed = await self._committed(directory, self._clone.tracking)
        if committed is None:
            raise TransientError(f"the directory of {environment} was removed right after it was written")
        return committed

    async def read(self, environment: str, commit: str | None = None) -> Committed | None:
        """See the port."""
        head = await self._clone.newest()
        if head is None:
            return None
        if commit is not None:
            # Only what is on the branch counts, wherever else the forge has commits.
            known = await self._clone.run("merge-base", "--is-ancestor", commit, head)
            if known.code != 0:
                return None
        return await self._committed(_directory(environment), commit or head)

    async def earlier(self, environment: str, commit: str | None) -> Committed | None:
        """See the port."""
        directory = _directory(environment)
        newest = commit or await self._clone.newest()
        if newest is None:
            return None
        skip = "--skip=0" if commit is None else "--skip=1"
        listed = await self._clone.git("log", "--format=%H", skip, f"--max-count={_VERSIONS}", newest, "--", directory)
        for found in listed.stdout.decode().split():
            if (committed := await self._archived(found, directory)) is not None:
                return committed
        return None

    async def remove(self, environment: str, receipt: Receipt, change: Change) -> None:
        """See the port."""
        message = _message(change, f"{_RECEIPT}{receipt.model_dump_json(exclude_defaults=True)}\n")
        with tracing.span("commit the removal", attributes={"slipway.environment": environment}):
            await self._clone.push(Wanted(_directory(environment), {}, change.author, message))

    async def receipt(self, environment: str, run_id: str) -> Receipt | None:
        """See the port."""
        head = await self._clone.newest()
        if head is None:
            return None
        message = await self._clone.git(
            "log", "-1", "--format=%B", "--fixed-strings", "--all-match", f"--grep=Slipway-Run: {run_id}",
            f"--grep={_RECEIPT}", head, "--", _directory(environment),
        )  # fmt: skip
        for line in message.stdout.decode("utf-8", "replace").split("\n"):
            if line.startswith(_RECEIPT):
                try:
                    return Receipt.model_validate_json(line.removeprefix(_RECEIPT))
                except ValidationError:
                    _log.warning("a removal's receipt cannot be read", environment=environment, run_id=run_id)
        return None

    async def _committed(self, directory: str, revision: str) -> Committed | None:
        """The directory as a revision in our clone has it, with the commit that made it so."""
        found = await self._clone.run("log", "-1", "--format=%H", revision, "--", directory)
        commit = found.stdout.decode().strip()
        return await self._archived(commit, directory) if found.code == 0 and commit else None

    async def _archived(self, commit: str, directory: str) -> Committed | None:
        """The directory's files; None where the commit removed it."""
        archive = await self._clone.run("archive", "--format=tar", f"{commit}:{directory}")
        if archive.code != 0:
            return None
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            files = {member.name: _content(tar, member) for member in tar.getmembers() if member.isfile()}
        return Committed(commit=commit, files=files)


def _directory(environment: str) -> str:
    return f"environments/{environment}"


def _message(change: Change, body: str) -> str:
    return f"{change.summary}\n\nSlipway-Run: {change.run_id}\n{body}"


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file is not None else b""
