"""GitHub Actions of the forge, put together: the book, who writes into it, who runs what stands in it, who asks."""

from pathlib import Path
from typing import Final

from deploy.embedded.forge.context import Access, Forge
from deploy.embedded.forge.store import Row
from deploy.embedded.forge.workflows.announcing import Announcer
from deploy.embedded.forge.workflows.book import Book
from deploy.embedded.forge.workflows.identity import Identities, SigningKey
from deploy.embedded.forge.workflows.intake import Intake, candidates
from deploy.embedded.forge.workflows.job_tokens import JobTokens
from deploy.embedded.forge.workflows.runner import Runner

_LONGEST_LOG_BYTES: Final = 32 * 1024 * 1024


class Actions:
    """All of it. `data` is the forge's directory."""

    def __init__(self, forge: Forge, data: Path, tokens: JobTokens) -> None:
        self._forge = forge
        self._data = data
        self.book = Book(forge.store)
        self.identities = Identities(forge.urls.public, SigningKey(data / "actions" / "identity.pem"))
        self.runner = Runner(forge, self.book, self.identities, tokens, data / "actions" / "logs")
        self.intake = Intake(forge, self.book, self.runner.wake)
        self.book.said = Announcer(forge).said

    def listen(self) -> None:
        """Hear of pushes and pull requests, unless Actions are turned off."""
        if self._forge.settings.actions_enabled:
            self._forge.pushes.listeners.append(self.intake.hear_push)
            self._forge.pull_listeners.append(self.intake.hear_pull_request)

    def start(self) -> None:
        """Begin to run what is queued."""
        if self._forge.settings.actions_enabled:
            self.runner.start(self._data)

    def stop(self) -> None:
        """End what runs."""
        self.runner.stop()

    def wake(self) -> None:
        """There may be something to run."""
        self.runner.wake()

    def log_path(self, job: Row) -> Path:
        """The file with a job's log, which may not be there yet."""
        return self.runner.log_path(job["id"])

    def log(self, job: Row) -> str:
        """The log of a job, as far as it has come."""
        try:
            with self.log_path(job).open("rb") as file:
                return file.read(_LONGEST_LOG_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def learn_workflows(self, access: Access) -> None:
        """Know the workflows of the default branch, also those that never ran."""
        head = access.bare.branch(access.repository.default_branch)
        for candidate in candidates(access.bare, head) if head is not None else ():
            name = candidate.workflow.name if candidate.workflow is not None else candidate.path
            self.book.know_workflow(access.repository.id, candidate.path, name)
