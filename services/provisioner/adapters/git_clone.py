"""Our bare clone of the environments repository: what is newest there, and what goes on top of it.

Commits are made by `git fast-import` straight into the clone: there is no work tree and no index to be left dirty by a
kill. A commit is confined to one directory, so losing a push race is cured by making it again on the new head.

Invariants: one writer at a time, among all processes that share the clone (flock(2)); in this process, whoever asks
while another one is served shares what comes next, be it a fetch or a push; a commit counts once it is pushed; what is
pushed already is not committed again.
"""

import asyncio
import fcntl
import io
import random
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import IO, Final

import structlog

from chassis.failures import PermanentError, TransientError
from services.provisioner.adapters.git_command import Git, GitKnobs, Output
from services.provisioner.ports import Author, Files

_log = structlog.get_logger(__name__)

_PUSH_TRIES: Final = 12
_RACE_PAUSE_SECONDS: Final = 0.1
"""How long the loser of a race steps aside at most; a random part of it, so that two losers do not meet again."""
_LOCK_PAUSE_SECONDS: Final = 0.02
_PENDING: Final = "refs/slipway/pending"
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


@dataclass(eq=False)
class Wanted:
    """A commit that somebody waits for: `directory` is to hold exactly `entries` (by their whole paths)."""

    directory: str
    entries: Files
    author: Author
    message: str
    pushed: asyncio.Future[str | None] = field(init=False)


class Clone:
    """One process's view of the clone."""

    def __init__(self, knobs: GitKnobs) -> None:
        """Nothing is touched before the first call."""
        self._knobs = knobs
        self._commands = Git(knobs)
        self._writing = asyncio.Lock()
        self._next_fetch: asyncio.Task[str | None] | None = None
        self._wanted: list[Wanted] = []
        self._pushing: asyncio.Task[None] | None = None
        self._known: str | None = None
        """The newest commit that we have seen on the branch."""

    @property
    def tracking(self) -> str:
        """Where the clone keeps the newest commit that was seen."""
        return f"refs/remotes/origin/{self._knobs.branch}"

    async def run(self, *arguments: str) -> Output:
        """A command that may fail: it asks for what may not be there."""
        return await self._commands.run(*arguments)

    async def git(self, *arguments: str, stdin: bytes = b"") -> Output:
        """A command that succeeds unless the clone is broken."""
        output = await self._commands.run(*arguments, stdin=stdin)
        if output.code != 0:
            raise TransientError(f"git {arguments[0]} failed: {output.stderr.strip()[:500]}")
        return output

    async def newest(self) -> str | None:
        """The branch's newest commit, as of now or later, now in the clone; None for a repository without a commit.
        Raises `TransientError` while the forge is away and `PermanentError` where it refuses us."""
        if self._next_fetch is None:
            self._next_fetch = asyncio.create_task(self._fetch_in_turn())
        return await asyncio.shield(self._next_fetch)

    async def push(self, wanted: Wanted) -> str | None:
        """The pushed commit that makes the directory so; None where it is so already. Raises as `newest`."""
        wanted.pushed = asyncio.get_running_loop().create_future()
        self._wanted.append(wanted)
        if self._pushing is None or self._pushing.done():
            self._pushing = asyncio.create_task(self._push_for_all())
        try:
            return await asyncio.shield(wanted.pushed)
        except asyncio.CancelledError:
            await self._withdraw(wanted)
            raise

    async def _withdraw(self, wanted: Wanted) -> None:
        """Have it not committed, if that is still possible; when this returns, nothing of it comes later."""
        if wanted in self._wanted:
            self._wanted.remove(wanted)
        elif not wanted.pushed.done():
            await asyncio.wait([wanted.pushed])
            wanted.pushed.exception()  # looked at: the cancellation is what the caller hears of

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Write alone: within this process, and beside other replicas on this machine. Who dies gives way."""
        async with self._writing:
            clone = self._knobs.clone
            clone.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with clone.with_suffix(".lock").open("w") as file:
                while not _lock(file):  # noqa: ASYNC110 - another process tells nobody when it lets go
                    await asyncio.sleep(random.uniform(0, _LOCK_PAUSE_SECONDS))  # noqa: S311 - no secret
                yield

    # -- fetching ------------------------------------------------------------------------------------------------------

    async def _fetch_in_turn(self) -> str | None:
        async with self._turn():
            self._next_fetch = None  # whoever asks from now on may mean what this one does not see any more
            return await self._fetch()

    async def _fetch(self) -> str | None:
        self._known = None
        if not (self._knobs.clone / "HEAD").exists():
            await self.git("init", "--quiet", "--bare", str(self._knobs.clone))
        refs = f"+refs/heads/{self._knobs.branch}:{self.tracking}"
        fetched = await self.run("fetch", "--quiet", "--no-tags", self._knobs.url, refs)
        if fetched.code != 0:
            if "couldn't find remote ref" in fetched.stderr:
                return None
            raise _failure("fetch", fetched.stderr)
        self._known = (await self.git("rev-parse", "--verify", self.tracking)).stdout.decode().strip()
        return self._known

    # -- pushing -------------------------------------------------------------------------------------------------------

    async def _push_for_all(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted, []
            try:
                await self._push_together(batch)
            except PermanentError as error:
                # Perhaps only one of them is refused.
                for wanted in batch if len(batch) > 1 else ():
                    await self._push_alone(wanted)
                _fail(batch, error)
            except BaseException as error:
                _fail(batch, error)
                if not isinstance(error, Exception):
                    raise

    async def _push_alone(self, wanted: Wanted) -> None:
        if not wanted.pushed.done():
            try:
                await self._push_together([wanted])
            except (TransientError, PermanentError) as error:
                _fail([wanted], error)

    async def _push_together(self, batch: Sequence[Wanted]) -> None:
        """Push a commit for each of them, one on top of the other."""
        # Most often nobody else has pushed since we looked last; where somebody has, the push tells.
        certain = False
        for _ in range(_PUSH_TRIES):
            async with self._turn():
                head = self._known
                if certain or head is None or not (self._knobs.clone / "HEAD").exists():
                    head, certain = await self._fetch(), True
                commits = await self._commit(head, batch)
                if None in commits and not certain:
                    head, certain = await self._fetch(), True
                    commits = await self._commit(head, batch)
                if None in commits:
                    _settle_unchanged(batch, commits)
                    batch = [wanted for wanted, commit in zip(batch, commits, strict=True) if commit is not None]
                    commits = await self._commit(head, batch)
                if not batch:
                    return
                tip = commits[-1]
                refs = f"{tip}:refs/heads/{self._knobs.branch}"
                pushed = await self.run("push", "--porcelain", self._knobs.url, refs)
                if pushed.code == 0:
                    await self.git("update-ref", self.tracking, str(tip))
                    self._known = tip
                    for wanted, commit in zip(batch, commits, strict=True):
                        wanted.pushed.set_result(commit)
                    return
            said = pushed.stdout.decode("utf-8", "replace") + pushed.stderr
            if not _RACE.search(said):
                raise _failure("push", said)
            _log.info("somebody else pushed first", directories=[wanted.directory for wanted in batch])
            certain = True
            await asyncio.sleep(random.uniform(0, _RACE_PAUSE_SECONDS))  # noqa: S311 - no secret
        raise TransientError("the environments repository changes faster than we can push to it", delay_seconds=2)

    async def _commit(self, head: str | None, batch: Sequence[Wanted]) -> list[str | None]:
        """A commit for each in the object store, each on top of the one before; None for what would change nothing."""
        if not batch:
            return []
        stream = io.BytesIO()
        seconds = int(time.time())
        for number, wanted in enumerate(batch, start=1):
            stream.write(f"commit {_PENDING}\nmark :{number}\n".encode())
            stream.write(f"author {wanted.author.name} <{wanted.author.email}> {seconds} +0000\n".encode())
            stream.write(f"committer {_COMMITTER} {seconds} +0000\n".encode())
            _data(stream, wanted.message.encode())
            if number > 1:
                stream.write(f"from :{number - 1}\n".encode())
            elif head is not None:
                stream.write(f"from {head}\n".encode())
            stream.write(f"D {wanted.directory}\n".encode())
            for path, content in sorted(wanted.entries.items()):
                stream.write(f"M 100644 inline {path}\n".encode())
                _data(stream, content)
            stream.write(b"\n")
        stream.write("".join(f"get-mark :{number}\n" for number in range(1, len(batch) + 1)).encode())
        stream.write(b"done\n")
        made = await self.git("fast-import", "--quiet", "--force", "--done", stdin=stream.getvalue())
        commits = made.stdout.decode().split()
        line = commits if head is None else [head, *commits]
        trees = (await self.git("rev-parse", *(f"{commit}^{{tree}}" for commit in line))).stdout.decode().split()
        if head is None:
            # Of an empty repository the first commit changes something if there is something in it.
            trees = ["" if batch[0].entries else trees[0], *trees]
        changes = [before != after for before, after in pairwise(trees)]
        return [commit if changed else None for commit, changed in zip(commits, changes, strict=True)]


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _settle_unchanged(batch: Sequence[Wanted], commits: Sequence[str | None]) -> None:
    for wanted, commit in zip(batch, commits, strict=True):
        if commit is None:
            wanted.pushed.set_result(None)


def _fail(batch: Sequence[Wanted], error: BaseException) -> None:
    for wanted in batch:
        if not wanted.pushed.done():
            wanted.pushed.set_exception(error)


def _data(stream: io.BytesIO, content: bytes) -> None:
    """fast-import's counted form, which needs no escaping."""
    stream.write(b"data %d\n" % len(content))
    stream.write(content)
    stream.write(b"\n")


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
