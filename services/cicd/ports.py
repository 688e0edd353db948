"""What this service needs from outside, in its own words.

Every method may raise `chassis.failures.TransientError` (nobody knows whether it happened; read, then try again) or
`PermanentError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from contracts.envelope import Event
from contracts.golden_path import GoldenPath
from contracts.signals import Signal
from services.cicd.domain import Commit, File, PullRequest, Repository
from services.cicd.domain.previews import Comment
from services.cicd.domain.tickets import Ticket, TicketRecord, TicketReply


@dataclass(frozen=True)
class Values:
    """What a golden path's texts may name. All of it is validated or comes from the platform itself."""

    environment: str
    branch: str
    golden_path: str
    golden_path_version: str
    description: str
    url: str | None
    path: str | None = None
    """The directory that the application is in; None where it is the whole repository."""


class GoldenPaths(Protocol):
    """The published golden paths."""

    async def find(self, name: str) -> GoldenPath:
        """The manifest. `PermanentError` where there is no such golden path."""
        ...

    async def skeleton(self, path: GoldenPath, values: Values) -> tuple[File, ...]:
        """The files that a new repository begins with, sorted by path."""
        ...

    async def workflow(self, path: GoldenPath, values: Values) -> bytes:
        """The workflow that deploys on push. Its tree is the template's, whatever the values are."""
        ...


class WorkflowCheck(Protocol):
    """Somebody who knows what GitHub accepts."""

    async def problems(self, workflow: bytes) -> Sequence[str]:
        """What is wrong with a workflow; empty where nothing is."""
        ...


class Progress(Protocol):
    """The log that the person who waits is reading."""

    async def line(self, event: Event, text: str, level: Literal["debug", "info", "warning", "error"] = "info") -> None:
        """Add a line to the run of `event`."""
        ...


class Forge(Protocol):
    """Where repositories live: GitHub, or something that answers like it. `repository` is `owner/name`.

    A write that finds things already as it would leave them is no error, except where it says so.
    """

    async def find(self, repository: str) -> Repository | None:
        """The repository, or None where there is none (or none that we may see). One that was renamed is found by
        its old name too, and tells the new one."""
        ...

    async def create(self, repository: str, *, description: str, homepage: str) -> Repository:
        """Create a private repository with an initial commit. `PermanentError` where it exists."""
        ...

    async def describe(self, repository: str, *, description: str, default_branch: str) -> None:
        """Set the description and the default branch, which must exist."""
        ...

    async def delete(self, repository: str) -> None:
        """Delete the repository with everything in it. Nothing happens where there is none."""
        ...

    async def archive(self, repository: str) -> None:
        """Make the repository read-only, until a person unarchives it."""
        ...

    async def topics(self, repository: str) -> tuple[str, ...]:
        """Its topics."""
        ...

    async def set_topics(self, repository: str, topics: Sequence[str]) -> None:
        """Replace its topics."""
        ...

    async def variables(self, repository: str) -> Mapping[str, str]:
        """Its variables for workflows, by their upper-case names."""
        ...

    async def set_variable(self, repository: str, name: str, value: str) -> None:
        """Create or change a variable."""
        ...

    async def delete_variable(self, repository: str, name: str) -> None:
        """Remove a variable. Nothing happens where there is none."""
        ...

    async def has_environment(self, repository: str, name: str) -> bool:
        """Whether there is a deployment environment of this name."""
        ...

    async def put_environment(self, repository: str, name: str, *, reviewers: Sequence[str] = ()) -> None:
        """Create a deployment environment. With `reviewers` (`team/<slug>` of the repository's owner, `user/<login>`)
        one of them has to agree before a job of it runs; `PermanentError` where there is no such team or person, or
        where the forge has no reviewers. Where there is one it is left as it is, or becomes like this."""
        ...

    async def delete_environment(self, repository: str, name: str) -> None:
        """Remove a deployment environment. Nothing happens where there is none."""
        ...

    async def protect_branch(self, repository: str, branch: str, *, approvals: int) -> None:
        """Let nobody rewrite or remove a branch; with `approvals` it moves only by pull requests that so many people
        have agreed to. `PermanentError` where there is no such branch, or where the forge cannot."""
        ...

    async def has_run(self, repository: str, workflow: str, *, commit: str, since: datetime) -> bool:
        """Whether somebody asked for the workflow at this path to run on a commit, at `since` or later."""
        ...

    async def run_workflow(self, repository: str, workflow: str, *, branch: str) -> None:
        """Run the workflow at this path on the head of a branch. `PermanentError` where it is not there, or does not
        let itself be asked."""
        ...

    async def branches(self, repository: str, *, prefix: str = "") -> Mapping[str, str]:
        """The commit at the head of each branch whose name begins with `prefix`."""
        ...

    async def has_tags(self, repository: str) -> bool:
        """Whether anybody made a tag."""
        ...

    async def history(self, repository: str, head: str, *, limit: int, path: str | None = None) -> Sequence[Commit]:
        """The commit `head` and those before it, newest first, at most 100; with `path` only those that touched it."""
        ...

    async def read(self, repository: str, path: str, *, at: str) -> bytes | None:
        """A file's content on a branch or in a commit, or None where there is no such file."""
        ...

    async def has_directory(self, repository: str, path: str, *, at: str) -> bool:
        """Whether there is such a directory on a branch or in a commit."""
        ...

    async def files_in(self, repository: str, path: str, *, at: str) -> Sequence[str]:
        """The paths of the files right in a directory of a commit; none where there is no such directory."""
        ...

    async def commit(
        self,
        repository: str,
        *,
        files: Sequence[File],
        parent: str | None,
        keep_other_files: bool,
        message: str,
        at: datetime,
        without: Sequence[str] = (),
    ) -> Commit:
        """Store a commit of ours, on no branch yet; of the files that are kept it leaves those `without` names out. The
        same arguments give the same commit."""
        ...

    async def create_branch(self, repository: str, branch: str, commit: str) -> None:
        """Begin a branch. `PermanentError` where it exists."""
        ...

    async def forward_branch(self, repository: str, branch: str, commit: str) -> None:
        """Move a branch to a descendant of its head. `PermanentError` where `commit` is none, or where the branch is
        protected from us."""
        ...

    async def put_branch(self, repository: str, branch: str, commit: str) -> None:
        """Point a branch that exists at a commit, whatever it pointed at: only for branches whose head is ours."""
        ...

    async def delete_branch(self, repository: str, branch: str) -> None:
        """Remove a branch. Nothing happens where there is none."""
        ...

    async def has_conversations(self, repository: str) -> bool:
        """Whether anybody ever opened an issue or a pull request."""
        ...

    async def pull_requests(self, repository: str, *, head: str) -> Sequence[PullRequest]:
        """Pull requests from the branch `head`, newest first, in whatever state."""
        ...

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        """A pull request by its number, be its head in the repository or in a fork."""
        ...

    async def open_pull_request(self, repository: str, *, head: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request. `PermanentError` where there is an open one from `head` to `base`."""
        ...

    async def close_pull_request(self, repository: str, number: int) -> None:
        """Close a pull request without merging it."""
        ...

    async def reopen_pull_request(self, repository: str, number: int) -> None:
        """Open a closed pull request again. `PermanentError` where that cannot be."""
        ...


class Conversations(Protocol):
    """What is said under pull requests."""

    async def find_comment(self, repository: str, number: int, mark: str) -> Comment | None:
        """The oldest comment whose text begins with this."""
        ...

    async def add_comment(self, repository: str, number: int, body: str) -> Comment:
        """Say something. `PermanentError` where nobody may."""
        ...

    async def edit_comment(self, repository: str, comment: int, body: str) -> None:
        """Say something else instead. `PermanentError` where the comment is gone."""
        ...


class TicketDesk(Protocol):
    """Where tickets for the platform team are opened."""

    async def find_ticket(self, repository: str, *, label: str, mark: str) -> Ticket | None:
        """The newest ticket with this label whose text has this line, open or closed; None where there is none."""
        ...

    async def open_ticket(self, repository: str, *, title: str, body: str, label: str) -> Ticket:
        """Open a ticket. `PermanentError` where the repository takes none."""
        ...

    async def changed_tickets(self, repository: str, *, label: str, since: datetime | None) -> Sequence[TicketRecord]:
        """The tickets with this label that have changed at that moment or later (None: all), the earliest change
        first."""
        ...

    async def latest_reply(self, repository: str, ticket: TicketRecord) -> TicketReply | None:
        """What was written under it last; None where nothing was."""
        ...


class Facts(Protocol):
    """What is said to whoever is interested."""

    async def say(self, signal: Signal) -> None:
        """Store a fact; once, however often it is said within two minutes."""
        ...

    async def last_change(self) -> datetime | None:
        """When that change of a ticket was of which was told last; None where none was."""
        ...
