"""What a forge tells of: repositories, commits, pull requests, files."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.cicd.domain.marks import Mark

COMMITTER_NAME: Final = "Slipway"
COMMITTER_EMAIL: Final = "slipway@users.noreply.github.com"
"""Who makes our commits. A commit of ours that somebody amended, rebased or squashed has another committer."""
INITIAL_COMMIT_MESSAGE: Final = "Initial commit"
"""What GitHub calls the commit that it makes in a repository created with `auto_init`."""

_TRAILER: Final = re.compile(r"^Slipway-([A-Za-z-]+): ([0-9a-z-]{1,64})$", re.MULTILINE)


@dataclass(frozen=True)
class File:
    """A file of a repository."""

    path: str
    content: bytes
    executable: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Commit:
    """A commit as the forge tells of it."""

    sha: str
    message: str
    parents: tuple[str, ...]
    committer_email: str

    def made_for(self, mark: Mark) -> bool:
        """Whether we made it for this life of this environment."""
        ends_like_ours = self.message.rstrip().endswith(mark.trailers.rstrip())
        return ends_like_ours and self.committer_email == COMMITTER_EMAIL

    def made_by(self, mark: Mark, run: UUID) -> bool:
        """Whether this run of the environment made it."""
        return self.made_for(mark) and self._trailers.get("Run") == str(run)

    def puts_back(self, mark: Mark, run: UUID) -> bool:
        """Whether it undoes what this run of the environment did."""
        return self.made_for(mark) and self._trailers.get("Undoes-Run") == str(run)

    def made_in_another_life(self, mark: Mark) -> bool:
        """Whether we made it for this environment, and not in this life of it."""
        ours = self.committer_email == COMMITTER_EMAIL and self._trailers.get("Environment") == mark.environment
        return ours and not self.made_for(mark)

    @property
    def workflow_digest(self) -> str | None:
        """The digest of the workflow that this commit of ours put there."""
        return self._trailers.get("Workflow")

    @property
    def _trailers(self) -> dict[str, str]:
        return dict(_TRAILER.findall(self.message.rstrip().rpartition("\n\n")[2]))


@dataclass(frozen=True)
class Repository:
    """A repository as the forge tells of it."""

    name: str
    id: int
    html_url: str
    clone_url: str
    default_branch: str
    description: str
    archived: bool


@dataclass(frozen=True)
class PullRequest:
    """A pull request as the forge tells of it."""

    number: int
    html_url: str
    base: str
    head_commit: str
    open: bool
    merged: bool


@dataclass(frozen=True)
class Seen:
    """An environment's workflow as it stands on a branch."""

    head: str
    """The branch's newest commit."""
    file: File | None
    commit: Commit | None
    """The last commit on the branch that touched the file, its removal included."""

    def untouched(self, mark: Mark) -> bool:
        """Whether the file is there and is what we put there, to the byte."""
        if self.file is None or self.commit is None or not self.commit.made_for(mark):
            return False
        return self.commit.workflow_digest == self.file.digest
