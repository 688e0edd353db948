"""Changes of refs: each one is recorded, and whoever asked to hear of them does.

Invariant: a ref that has moved is announced to every listener at least once, whenever the forge is killed. A change by
REST is recorded as intended before the ref moves; a push over Git leaves a record in the spool from its post-receive
hook before the client hears of its success. Both are finished at the next start.

`listeners` is the seam for what should happen on a push: functions that take a `Push`, called in order in a worker
thread. A listener may hear of the same push twice (`Push.id` tells) and must not raise for what it can live with; one
that raises is logged, does not keep the others from hearing, and hears again at the next start.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from structlog import get_logger

from chassis.tracing import traceparent
from deploy.embedded.forge import names
from deploy.embedded.forge.accounts import Account, Accounts
from deploy.embedded.forge.bare import Bare, RefMovedError
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.git import ZERO_SHA, Git
from deploy.embedded.forge.records import Repositories, Repository
from deploy.embedded.forge.store import Row, Store

_log = get_logger(__name__)
_MOST_REFS: Final = 1000


@dataclass(frozen=True)
class Push:
    """A ref of a repository that moved from `before` to `after` (`ZERO_SHA`: did not exist, does no longer)."""

    id: int
    repository: Repository
    ref: str
    before: str
    after: str
    pusher: Account
    traceparent: str | None
    created_at: str

    @property
    def branch(self) -> str | None:
        """The branch's short name, or None for a tag or another ref."""
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else None

    @property
    def created(self) -> bool:
        """Whether the ref is new."""
        return self.before == ZERO_SHA

    @property
    def deleted(self) -> bool:
        """Whether the ref is gone."""
        return self.after == ZERO_SHA


@dataclass(frozen=True)
class _Move:
    """What happens to a ref."""

    repository_id: int
    ref: str
    before: str
    after: str


PushListener = Callable[[Push], None]


class Pushes:
    """The record of pushes. Append to `listeners` before `recover` is called."""

    def __init__(self, store: Store, git: Git, accounts: Accounts, repositories: Repositories) -> None:
        self.listeners: list[PushListener] = []
        self._store = store
        self._git = git
        self._accounts = accounts
        self._repositories = repositories
        self._announcing = threading.Lock()

    def move_ref(self, repository: Repository, pusher: Account, ref: str, new: str, old: str) -> None:
        """Move a ref as `Bare.move_ref` does, record it and announce it. Raises RefMovedError."""
        with self._store.transaction():
            move = _Move(repository.id, ref, old, new)
            push_id = self._record(move, pusher.id, f"rest-{secrets.token_hex(12)}")
        try:
            Bare(self._git, repository.id).move_ref(ref, new, old)
        except RefMovedError:
            self._store.execute("DELETE FROM pushes WHERE id = ?", [push_id])
            raise
        self._mark_moved(push_id, repository.id)
        self._announce(push_id)

    def _record(self, move: _Move, pusher_id: int, source: str, *, parent: str | None = None) -> int:
        return self._store.insert(
            "pushes",
            repository_id=move.repository_id,
            source=source,
            ref=move.ref,
            before_sha=move.before,
            after_sha=move.after,
            pusher_id=pusher_id,
            traceparent=parent or traceparent(),
            state="intended",
            created_at=timestamp(),
        )

    def _mark_moved(self, push_id: int, repository_id: int) -> None:
        with self._store.transaction():
            self._store.update("pushes", push_id, state="moved")
            self._store.update("repositories", repository_id, pushed_at=timestamp())

    # Pushes over Git

    @contextmanager
    def spooled(self, repository: Repository, pusher: Account) -> Iterator[dict[str, str]]:
        """The environment for a `git receive-pack` whose hook is to write a record. Whatever it wrote is read at
        the end, however that comes."""
        path = self._git.spool / secrets.token_hex(16)
        by = f"{repository.id} {pusher.id} {traceparent() or '-'}"
        try:
            yield {"SLIPWAY_PUSH_FILE": str(path), "SLIPWAY_PUSH_BY": by}
        finally:
            self.read_spooled(path)

    def read_spooled(self, path: Path) -> None:
        """Take a record from the spool into the database and announce it; nothing happens without one."""
        try:
            head, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        repository_id, pusher_id, parent = head.split(" ")
        taken: list[int] = []
        with self._store.transaction():
            if self._repositories.by_id(int(repository_id)) is not None:
                for line in lines[:_MOST_REFS]:
                    taken += self._take_line(path.name, line, int(repository_id), int(pusher_id), parent)
        for push_id in taken:
            self._announce(push_id)
        path.unlink(missing_ok=True)

    def _take_line(self, source: str, line: str, repository_id: int, pusher_id: int, parent: str) -> list[int]:
        before, after, ref = line.split(" ", 2)
        source = f"{source}-{ref}"
        known = self._store.one("SELECT id FROM pushes WHERE source = ?", [source])
        if known is not None or not names.is_ref(ref):
            return []
        move = _Move(repository_id, ref, before, after)
        push_id = self._record(move, pusher_id, source, parent=None if parent == "-" else parent)
        self._mark_moved(push_id, repository_id)
        return [push_id]

    # Announcing

    def recover(self) -> None:
        """Finish what a killed forge left: settle intended changes, read the spool, announce what moved."""
        for row in self._store.all("SELECT * FROM pushes WHERE state = 'intended' ORDER BY id"):
            current = Bare(self._git, row["repository_id"]).ref(row["ref"])
            if (current.sha if current is not None else ZERO_SHA) == row["after_sha"]:
                self._mark_moved(row["id"], row["repository_id"])
            else:
                self._store.execute("DELETE FROM pushes WHERE id = ?", [row["id"]])
        for path in sorted(self._git.spool.iterdir()):
            if path.suffix == ".part":
                path.unlink()
            else:
                self.read_spooled(path)
        for row in self._store.all("SELECT id FROM pushes WHERE state = 'moved' ORDER BY id"):
            self._announce(row["id"])

    def _announce(self, push_id: int) -> None:
        # One at a time, so that listeners hear of a branch's pushes in the order in which it moved.
        with self._announcing:
            with self._store.transaction():
                row = self._store.one("SELECT * FROM pushes WHERE id = ? AND state = 'moved'", [push_id])
                if row is None:
                    return
                push = self._push(row)
            heard = True
            for listener in self.listeners:
                try:
                    listener(push)
                except Exception as error:  # noqa: BLE001 - a listener of somebody else's must not undo a push
                    heard = False
                    _log.error("push_listener_failed", push_id=push_id, ref=push.ref, exc_info=error)
            if heard:
                self._store.update("pushes", push_id, state="announced")
        _log.info("ref_moved", repository=push.repository.full_name, ref=push.ref, after=push.after)

    def _push(self, row: Row) -> Push:
        return Push(
            id=row["id"],
            repository=self._repositories.known(row["repository_id"]),
            ref=row["ref"],
            before=row["before_sha"],
            after=row["after_sha"],
            pusher=self._accounts.by_id(row["pusher_id"]),
            traceparent=row["traceparent"],
            created_at=row["created_at"],
        )
