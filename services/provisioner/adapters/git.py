"""The environments repository, by the git command over smart HTTP.

Commits are made by `git fast-import` straight into a bare clone: there is no work tree and no index to be left dirty
by a kill. Our change is confined to one directory, so losing a push race is cured by making the same change on the new
head.

Invariants: one commit at a time in this process; a commit counts once it is pushed; what is pushed already is not
committed again.
"""

import asyncio
import io
import random
import re
import tarfile
import time
from typing import Final

import structlog
from pydantic import ValidationError

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from contracts.values import Receipt
from services.provisioner.adapters.git_command import Git, GitKnobs, Output
from services.provisioner.ports import Change, Committed, Files

_log = structlog.get_logger(__name__)

_PUSH_TRIES: Final = 12
_RACE_PAUSE_SECONDS: Final = 0.1
"""How long the loser of a race steps aside at most; a random part of it, so that two losers do not meet again."""
_VERSIONS: Final = 20
"""How many commits in a row may have left an environment without a directory."""
_PATH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_PENDING: Final = "refs/slipway/pending"
_RECEIPT: Final = "Slipway-Receipt: "
_COMMITTER: Final = "Slipway <provisioner@users.slipway.invalid>"
_TRANSIENT: Final = re.compile(
    r"Could not resolve host|Failed to connect|Connection (?:refused|reset|timed out)|timed out"
    r"|early EOF|unexpected disconnect|The requested URL returned error: (?:408|429|5\d\d)|RPC failed"
    r"|remote end hung up|Empty reply|Operation too slow"
)
_REFUSED: Final = re.compile(
    r"Authentication failed|could not read|returned error: 40[13]|not granted|[Pp]ermission denied"
)
_RACE: Final = re.compile(
    r"\[rejected\]|non-fast-forward|fetch first|cannot lock ref|failed to update ref|reference already exists"
)


class GitEnvironments:
    """The port `EnvironmentsRepository`."""

    def __init__(self, knobs: GitKnobs) -> None:
        """Nothing is touched before the first call."""
        self._knobs = knobs
        self._one_at_a_time = asyncio.Lock()
        self._commands = Git(knobs)

    async def write(self, environment: str, files: Files, change: Change) -> Committed:
        """See the port."""
        directory = _directory(environment)
        for path in files:
            if not _PATH.fullmatch(path):
                raise PermanentError("bad_path", f"a file cannot be called {path!r}", next_step="Rename it.")
        entries = {f"{directory}/{path}": content for path, content in files.items()}
        with tracing.span("commit the desired state", attributes={"slipway.environment": environment}):
            await self._push(directory, entries, change, body="")
            async with self._one_at_a_time:
                committed = await self._committed(directory, self._tracking)
        if committed is None:
            raise TransientError(f"the directory of {environment} was removed right after it was written")
        return committed

    async def read(self, environment: str, commit: str | None = None) -> Committed | None:
        """See the port."""
        async with self._one_at_a_time:
            head = await self._fetch()
            if head is None:
                return None
            if commit is not None:
                # Only what is on the branch counts, wherever else the forge has commits.
                known = await self._commands.run("merge-base", "--is-ancestor", commit, head)
                if known.code != 0:
                    return None
            return await self._committed(_directory(environment), commit or head)

    async def earlier(self, environment: str, commit: str | None) -> Committed | None:
        """See the port."""
        directory = _directory(environment)
        async with self._one_at_a_time:
            newest = commit or await self._fetch()
            if newest is None:
                return None
            skip = "--skip=0" if commit is None else "--skip=1"
            listed = await self._git("log", "--format=%H", skip, f"--max-count={_VERSIONS}", newest, "--", directory)
            for found in listed.stdout.decode().split():
                if (committed := await self._archived(found, directory)) is not None:
                    return committed
        return None

    async def remove(self, environment: str, receipt: Receipt, change: Change) -> None:
        """See the port."""
        body = f"{_RECEIPT}{receipt.model_dump_json(exclude_defaults=True)}\n"
        with tracing.span("commit the removal", attributes={"slipway.environment": environment}):
            await self._push(_directory(environment), {}, change, body=body)

    async def receipt(self, environment: str, run_id: str) -> Receipt | None:
        """See the port."""
        async with self._one_at_a_time:
            head = await self._fetch()
            if head is None:
                return None
            message = await self._git(
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

    async def _push(self, directory: str, entries: Files, change: Change, *, body: str) -> None:
        """Make `directory` hold exactly `entries` on the remote branch, by a commit on top of whatever is there."""
        for _ in range(_PUSH_TRIES):
            async with self._one_at_a_time:
                head = await self._fetch()
                commit = await self._commit(head, directory, entries, _message(change, body), change)
                if commit is None:
                    return
                refs = f"{commit}:refs/heads/{self._knobs.branch}"
                pushed = await self._commands.run("push", "--porcelain", self._knobs.url, refs)
                if pushed.code == 0:
                    await self._git("update-ref", self._tracking, commit)
                    return
            said = pushed.stdout.decode("utf-8", "replace") + pushed.stderr
            if not _RACE.search(said):
                raise _failure("push", said)
            _log.info("somebody else pushed first", directory=directory)
            await asyncio.sleep(random.uniform(0, _RACE_PAUSE_SECONDS))  # noqa: S311 - no secret
        raise TransientError("the environments repository changes faster than we can push to it", delay_seconds=2)

    async def _commit(
        self, head: str | None, directory: str, entries: Files, message: str, change: Change
    ) -> str | None:
        """A commit on `head` in the object store, not yet pushed; None where it would change nothing."""
        stream = io.BytesIO()
        seconds = int(time.time())
        author = f"{change.author.name} <{change.author.email}>"
        stream.write(f"commit {_PENDING}\nmark :1\nauthor {author} {seconds} +0000\n".encode())
        stream.write(f"committer {_COMMITTER} {seconds} +0000\n".encode())
        _data(stream, message.encode())
        if head is not None:
            stream.write(f"from {head}\n".encode())
        stream.write(f"D {directory}\n".encode())
        for path, content in sorted(entries.items()):
            stream.write(f"M 100644 inline {path}\n".encode())
            _data(stream, content)
        stream.write(b"\nget-mark :1\ndone\n")
        made = await self._git("fast-import", "--quiet", "--force", "--done", stdin=stream.getvalue())
        commit = made.stdout.decode().strip()
        if head is None:
            return commit if entries else None
        trees = await self._git("rev-parse", f"{head}^{{tree}}", f"{commit}^{{tree}}")
        before, after = trees.stdout.split()
        return None if before == after else commit

    async def _committed(self, directory: str, revision: str) -> Committed | None:
        """The directory as a revision in our clone has it, with the commit that made it so."""
        found = await self._commands.run("log", "-1", "--format=%H", revision, "--", directory)
        commit = found.stdout.decode().strip()
        return await self._archived(commit, directory) if found.code == 0 and commit else None

    async def _archived(self, commit: str, directory: str) -> Committed | None:
        """The directory's files; None where the commit removed it."""
        archive = await self._commands.run("archive", "--format=tar", f"{commit}:{directory}")
        if archive.code != 0:
            return None
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            files = {member.name: _content(tar, member) for member in tar.getmembers() if member.isfile()}
        return Committed(commit=commit, files=files)

    @property
    def _tracking(self) -> str:
        return f"refs/remotes/origin/{self._knobs.branch}"

    async def _fetch(self) -> str | None:
        """The newest commit of the branch, now in our clone; None for a repository without a commit."""
        if not (self._knobs.clone / "HEAD").exists():
            self._knobs.clone.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._git("init", "--quiet", "--bare", str(self._knobs.clone))
        refs = f"+refs/heads/{self._knobs.branch}:{self._tracking}"
        fetched = await self._commands.run("fetch", "--quiet", "--no-tags", self._knobs.url, refs)
        if fetched.code != 0:
            if "couldn't find remote ref" in fetched.stderr:
                return None
            raise _failure("fetch", fetched.stderr)
        return (await self._git("rev-parse", "--verify", self._tracking)).stdout.decode().strip()

    async def _git(self, *arguments: str, stdin: bytes = b"") -> Output:
        """A command that succeeds unless our own clone is broken."""
        output = await self._commands.run(*arguments, stdin=stdin)
        if output.code != 0:
            raise TransientError(f"git {arguments[0]} failed: {output.stderr.strip()[:500]}")
        return output


def _directory(environment: str) -> str:
    return f"environments/{environment}"


def _message(change: Change, body: str) -> str:
    return f"{change.summary}\n\nSlipway-Run: {change.run_id}\n{body}"


def _data(stream: io.BytesIO, content: bytes) -> None:
    """fast-import's counted form, which needs no escaping."""
    stream.write(b"data %d\n" % len(content))
    stream.write(content)
    stream.write(b"\n")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file is not None else b""


def _failure(command: str, said: str) -> Exception:
    """What git's words mean. They name the URL, in which there is no secret."""
    text = " ".join(said.split())[:500]
    if _REFUSED.search(said) and not _TRANSIENT.search(said):
        return PermanentError(
            "environments_repository_refused",
            f"the environments repository refused git {command}: {text}",
            next_step="Have the platform team check the provisioner's token and its rights on that repository.",
        )
    return TransientError(f"git {command} failed: {text}")
