"""What a pipeline is to be like when the step is done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from chassis.failures import PermanentError
from contracts.golden_path import GoldenPath
from contracts.values import EnvironmentSpec, Pipeline
from services.cicd.domain.marks import Mark, workflow_path
from services.cicd.domain.things import File, Repository, Seen


@dataclass(frozen=True)
class Safeguards:
    """What keeps an environment from an accident, in a repository that the platform makes."""

    reviewers: tuple[str, ...] = ()
    """One of whom has to agree to each deployment: `team/<slug>`, `user/<login>`."""
    approvals: int | None = None
    """How many people have to agree to a change of its branch, which nobody rewrites or removes; None leaves the
    branch as it is."""


@dataclass(frozen=True)
class Plan:
    """What is wanted of a repository, and by which run."""

    repository: str
    branch: str
    mark: Mark
    run: UUID
    golden_path: str
    golden_path_version: str
    title: str
    platform_url: str
    environment_url: str | None
    safeguards: Safeguards
    path: str | None
    """The directory that the application is in; None where it is the whole repository."""
    asked_at: datetime
    """When the environment's secrets were ready: the time of the commits."""

    @property
    def made_from(self) -> str:
        """The golden path and its version, for people."""
        return f"{self.golden_path} {self.golden_path_version}"

    @property
    def description(self) -> str:
        """The description of a finished repository."""
        return f"{self.title} of the Slipway environment {self.mark.environment}"

    @property
    def note(self) -> File:
        """For whoever finds the repository: which environment it was made for. We read our variables, never this."""
        text = (
            f"# The Slipway environment that this repository was made for.\nenvironment: {self.mark.environment}\n"
            f"incarnation: {self.mark.incarnation}\ngolden_path: {self.golden_path}\n"
        )
        return File(".slipway/environment.yaml", text.encode())

    def files(self, skeleton: Sequence[File], workflow: File) -> tuple[File, ...]:
        """Everything a new repository begins with."""
        return (*(replace(file, path=self._inside(file.path)) for file in skeleton), workflow, self.note)

    def _inside(self, path: str) -> str:
        return f"{self.path}/{path}" if self.path else path

    @property
    def what_deploys(self) -> str:
        """Which pushes are deployed, for people."""
        return f"every push to `{self.branch}`" + (f" that changes something in `{self.path}`" if self.path else "")

    def first_commit_message(self, workflow: File) -> str:
        """Of the commit that a new repository begins with."""
        return self._signed(f"Start from the golden path {self.made_from}", workflow)

    def workflow_commit_message(self, workflow: File) -> str:
        """Of the commit that offers the workflow to an existing repository."""
        return self._signed(f"Deploy {self.mark.environment} with Slipway on every push to {self.branch}", workflow)

    def update_commit_message(self, workflow: File) -> str:
        """Of the commit that brings the workflow to what is wanted now."""
        return self._signed(
            f"Update the pipeline of {self.mark.environment}\n\nIt deploys every push to {self.branch}, the way of the"
            f" golden path {self.made_from}.",
            workflow,
        )

    def _signed(self, text: str, workflow: File) -> str:
        return f"{text}\n\nSlipway-Workflow: {workflow.digest}\nSlipway-Run: {self.run}\n{self.mark.trailers}"

    @property
    def pull_request_title(self) -> str:
        """Of the pull request that offers the workflow."""
        return f"Deploy {self.mark.environment} with Slipway"

    @property
    def pull_request_body(self) -> str:
        """Says why the pull request is there, and what merging and closing it do."""
        where = f" It will run at {self.environment_url} ." if self.environment_url else ""
        return (
            f"The Slipway environment `{self.mark.environment}` was asked for with this repository and its branch"
            f" `{self.branch}`.{where}\n\n"
            f"This adds one file, `{workflow_path(self.mark.environment)}`, from the golden path {self.made_from}: pull"
            f" requests to `{self.branch}` are tested, and {self.what_deploys} is tested and then deployed. It needs no"
            " secret; the job signs in with its own OpenID Connect token.\n\n"
            "Merge this to begin deploying. Close it if this repository should not be deployed: nothing else in it"
            " was changed. Deleting the environment closes it too, or offers to take the file away again once it is"
            " merged.\n"
        )

    @property
    def update_title(self) -> str:
        """Of the pull request that offers a changed workflow."""
        return f"Update the pipeline of {self.mark.environment}"

    def update_body(self, base: str) -> str:
        """Says what the change is, why it is offered and not made, and what merging and closing it do."""
        path = workflow_path(self.mark.environment)
        change = f"from the golden path {self.made_from}: {self.what_deploys} is tested and then deployed"
        if base != self.branch:
            change += f". Pushes to `{base}`, which deployed until now, deploy no longer"
        return (
            f"The Slipway environment `{self.mark.environment}` was updated. This changes one file, `{path}`,"
            f" {change}.\n\n"
            "It is offered and not made because the file, or the repository, is yours. Your changes to the file show"
            " in the diff: keep what you need. Close this to leave the pipeline as it is; everything else of the"
            " environment is updated already. Should the update fail, this is closed by itself.\n"
        )

    def pipeline(
        self,
        repository: Repository,
        commit: str,
        origin: Literal["created", "attached"],
        pull_request_url: str | None = None,
    ) -> Pipeline:
        """What is told of the pipeline once it is there."""
        return Pipeline(
            repository=repository.name,
            repository_id=repository.id,
            html_url=repository.html_url,
            clone_url=repository.clone_url,
            branch=self.branch,
            workflow_path=workflow_path(self.mark.environment),
            commit=commit,
            origin=origin,
            pull_request_url=pull_request_url,
        )


def detach_message(mark: Mark) -> str:
    """Of the commit that offers to take a workflow away."""
    return (
        f"Deploy {mark.environment} no longer\n\nIts Slipway environment is deleted, so its workflow has nothing to"
        f" deploy to.\n\n{mark.trailers}"
    )


def detach_title(mark: Mark) -> str:
    """Of the pull request with that commit."""
    return f"Remove the pipeline of {mark.environment}"


def detach_body(mark: Mark) -> str:
    """Says why it is there, and what merging and closing it do."""
    return (
        f"The Slipway environment `{mark.environment}` is deleted. This removes the one file that it added to this"
        f" repository, `{workflow_path(mark.environment)}`; its variables and its deployment environment are gone"
        " already.\n\n"
        "Merge this to be rid of the file. Close it to keep the file: it goes on testing, and deploys nothing. What you"
        " changed in it shows in the diff. Nothing else in this repository was changed.\n"
    )


def put_back_message(before: Seen, mark: Mark, run: UUID) -> str:
    """Of the commit that puts a workflow back to what it was before `run`. It vouches for the content only where that
    had been ours: what an owner wrote stays theirs."""
    digest = f"Slipway-Workflow: {before.file.digest}\n" if before.file and before.untouched(mark) else ""
    return (
        f"Put back the pipeline of {mark.environment}\n\nIts update failed, so this is as it was before it.\n\n"
        f"{digest}Slipway-Undoes-Run: {run}\n{mark.trailers}"
    )


def check_offer(golden_path: GoldenPath, spec: EnvironmentSpec) -> None:
    """Raise `PermanentError` where the golden path at hand is not the one that was asked for."""
    if golden_path.version != spec.golden_path_version:
        raise PermanentError(
            "golden_path_version_gone",
            f"the golden path {spec.golden_path} {spec.golden_path_version} is not published here any more; what is"
            f" published is {golden_path.version}",
            next_step=f"Start over with {spec.golden_path} {golden_path.version}.",
        )


def follows_nothing_new(spec: EnvironmentSpec, previous: EnvironmentSpec) -> bool:
    """Whether an update leaves everything as it was that a workflow depends on, so that the one in place stays, even
    where its golden-path version is not published any more.

    Raises `PermanentError` for an update to another repository: a pipeline does not move.
    """
    if spec.repository.lower() != previous.repository.lower():
        raise PermanentError(
            "repository_fixed",
            f"the environment {spec.name} cannot move from the repository {previous.repository} to {spec.repository}",
            next_step=f"Keep {previous.repository}, or create another environment for {spec.repository}.",
        )
    return (spec.golden_path, spec.golden_path_version, spec.branch, spec.path) == (
        previous.golden_path,
        previous.golden_path_version,
        previous.branch,
        previous.path,
    )
