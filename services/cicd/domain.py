"""What a pipeline is, whose a repository is, and what may be done with it. Pure rules, no I/O.

Invariants
- Only what carries our mark is ever changed, and only what holds nothing but our own work is ever deleted.
- The same plan gives the same commits, byte for byte, so doing it twice is doing it once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from chassis.failures import PermanentError
from contracts.golden_path import GoldenPath
from contracts.values import EnvironmentSpec, Pipeline

TOPIC: Final = "slipway"
"""The topic on every repository the platform made."""
URL_VARIABLE: Final = "SLIPWAY_URL"
"""Repository variable: where workflows find the platform. Without it they build and test, and do not deploy."""
MADE_FOR_VARIABLE: Final = "SLIPWAY_MADE_FOR"
"""Repository variable: the mark of the environment that a repository was made for."""
USED_BY_PREFIX: Final = "SLIPWAY_ENV_"
"""Repository variables `SLIPWAY_ENV_<NAME>`: the marks of the environments that a repository has a pipeline for."""
INITIAL_COMMIT_MESSAGE: Final = "Initial commit"
"""What GitHub calls the commit that it makes in a repository created with `auto_init`."""

_MARK: Final = re.compile(r"([a-z][a-z0-9-]{0,39})/([0-9a-f-]{36})/([a-z][a-z0-9-]{0,39})")
_CLAIM: Final = re.compile(r"Slipway is making this repository for ([^ ]{1,200})\.")


@dataclass(frozen=True)
class Mark:
    """Whose a thing is: an environment, in one of its lives, of a team."""

    environment: str
    incarnation: UUID
    team: str = field(compare=False)
    """Whose it was when the mark was made; an environment may change hands and stays itself."""

    def __str__(self) -> str:
        return f"{self.environment}/{self.incarnation}/{self.team}"

    @classmethod
    def parse(cls, text: str | None) -> "Mark | None":
        """The mark in `text`, or None where there is none."""
        found = _MARK.fullmatch(text or "")
        try:
            return cls(found[1], UUID(found[2]), found[3]) if found else None
        except ValueError:
            return None

    @property
    def claim(self) -> str:
        """The description of a repository that is being made: it is set by the very call that creates it, so that a
        crash between that call and the next one leaves no repository without an owner."""
        return f"Slipway is making this repository for {self}."

    @classmethod
    def parse_claim(cls, description: str | None) -> "Mark | None":
        """The mark in a repository's description while it is being made."""
        found = _CLAIM.fullmatch(description or "")
        return cls.parse(found[1]) if found else None

    @property
    def used_by_variable(self) -> str:
        """The repository variable that says that this environment has a pipeline here. Environment names have no
        underscore, so no two of them share one."""
        return USED_BY_PREFIX + self.environment.upper().replace("-", "_")

    @property
    def branch(self) -> str:
        """The branch on which a workflow is offered to an existing repository."""
        return f"slipway/{self.environment}"

    @property
    def trailers(self) -> str:
        """The end of the message of every commit made for this environment."""
        return f"Slipway-Environment: {self.environment}\nSlipway-Incarnation: {self.incarnation}\n"


@dataclass(frozen=True)
class File:
    """A file of a repository."""

    path: str
    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class Commit:
    """A commit as the forge tells of it."""

    sha: str
    message: str
    parents: tuple[str, ...]

    def made_for(self, mark: Mark) -> bool:
        """Whether we made it for this life of this environment."""
        return self.message.rstrip().endswith(mark.trailers.rstrip())


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
class Plan:
    """What a repository is to hold when the step is done."""

    repository: str
    branch: str
    mark: Mark
    golden_path: str
    """Name and version, for people."""
    title: str
    platform_url: str
    environment_url: str | None
    skeleton: tuple[File, ...]
    workflow: File
    asked_at: datetime
    """When the environment's secrets were ready: the time of the commits."""

    @property
    def description(self) -> str:
        """The description of a finished repository."""
        return f"{self.title} of the Slipway environment {self.mark.environment}"

    @property
    def files(self) -> tuple[File, ...]:
        """Everything a new repository begins with."""
        return (*self.skeleton, self.workflow, self.note)

    @property
    def note(self) -> File:
        """For whoever finds the repository: which environment it was made for. We read our variables, never this."""
        text = (
            f"# The Slipway environment that this repository was made for.\nenvironment: {self.mark.environment}\n"
            f"incarnation: {self.mark.incarnation}\ngolden_path: {self.golden_path}\n"
        )
        return File(".slipway/environment.yaml", text.encode())

    @property
    def first_commit_message(self) -> str:
        """Of the commit that a new repository begins with."""
        return f"Start from the golden path {self.golden_path}\n\n{self.mark.trailers}"

    @property
    def workflow_commit_message(self) -> str:
        """Of the commit that offers the workflow to an existing repository."""
        return f"Deploy {self.mark.environment} with Slipway on every push to {self.branch}\n\n{self.mark.trailers}"

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
            f"This adds one file, `{self.workflow.path}`, from the golden path {self.golden_path}: pull requests to"
            f" `{self.branch}` are tested, and every push to it is tested and then deployed. It needs no secret; the"
            " job signs in with its own OpenID Connect token.\n\n"
            "Merge this to begin deploying. Close it if this repository should not be deployed: nothing else in it"
            " was changed. Deleting the environment closes it too.\n"
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
            workflow_path=self.workflow.path,
            commit=commit,
            origin=origin,
            pull_request_url=pull_request_url,
        )


def workflow_path(environment: str) -> str:
    """Where an environment's workflow lives: a file of its own, so that several environments share a repository."""
    return f".github/workflows/slipway-{environment}.yml"


def check_offer(golden_path: GoldenPath, spec: EnvironmentSpec) -> None:
    """Raise `PermanentError` where the golden path at hand is not the one that was asked for."""
    if golden_path.version != spec.golden_path_version:
        raise PermanentError(
            "golden_path_version_gone",
            f"the golden path {spec.golden_path} {spec.golden_path_version} is not published here any more; what is"
            f" published is {golden_path.version}",
            next_step=f"Start over with {spec.golden_path} {golden_path.version}.",
        )


def owner_of(repository: Repository, variables: Mapping[str, str]) -> Mark | None:
    """The environment that a repository was made for, or None where the platform did not make it."""
    return Mark.parse(variables.get(MADE_FOR_VARIABLE)) or Mark.parse_claim(repository.description)


def users_of(variables: Mapping[str, str]) -> dict[str, Mark]:
    """The environments that have a pipeline in a repository, by the variable that says so."""
    marks = {name: Mark.parse(value) for name, value in variables.items() if name.startswith(USED_BY_PREFIX)}
    return {name: mark for name, mark in marks.items() if mark is not None}


def decide(repository: Repository, variables: Mapping[str, str], plan: Plan) -> Literal["continue", "attach"]:
    """What to do with a repository that exists: go on making it, or offer it a workflow.

    Raises `PermanentError` where it must be left alone: it was made for another team's environment, another platform
    deploys from it, another life of this environment still stands in it, or it is archived.
    """
    owner = owner_of(repository, variables)
    if owner == plan.mark:
        return "continue"
    if owner is not None and owner.team != plan.mark.team:
        raise PermanentError(
            "repository_taken",
            f"the repository {repository.name} belongs to the environment {owner.environment} of the team {owner.team}",
            next_step=f"Choose another repository, or ask the team {owner.team}.",
        )
    if repository.archived:
        raise PermanentError(
            "repository_archived",
            f"the repository {repository.name} is archived",
            next_step="Unarchive it on the forge, or choose another repository; then retry.",
        )
    if variables.get(URL_VARIABLE, plan.platform_url) != plan.platform_url:
        raise PermanentError(
            "repository_deploys_elsewhere",
            f"the repository {repository.name} has the variable {URL_VARIABLE}, which names another platform",
            next_step=f"Remove the variable {URL_VARIABLE} from the repository if it is a leftover; then retry.",
        )
    user = users_of(variables).get(plan.mark.used_by_variable)
    if user is not None and user != plan.mark:
        raise PermanentError(
            "repository_in_use",
            f"the repository {repository.name} still has the pipeline of an earlier environment {user.environment}",
            next_step=f"Remove the variable {plan.mark.used_by_variable} from the repository; then retry.",
        )
    return "attach"


def is_initial(commit: Commit) -> bool:
    """Whether this is the commit that the forge itself puts into a new repository."""
    return not commit.parents and commit.message.strip() == INITIAL_COMMIT_MESSAGE


def only_ours(mark: Mark, history: Sequence[Commit]) -> bool:
    """Whether a branch with these last three commits holds nothing but what we, and the forge itself, put there."""
    return len(history) <= 2 and all(commit.made_for(mark) or is_initial(commit) for commit in history)


def reasons_to_keep(
    mark: Mark, *, histories: Sequence[Sequence[Commit]], conversations: bool, variables: Mapping[str, str]
) -> list[str]:
    """Why a repository that we made must not be deleted, in words; empty where it holds nothing but our own work.

    `histories` are the last three commits of every branch: in what we made there are never more than two.
    `conversations` says whether anybody opened an issue or a pull request.
    """
    reasons: list[str] = []
    if not all(only_ours(mark, history) for history in histories):
        reasons.append("commits that Slipway did not make")
    if conversations:
        reasons.append("issues or pull requests")
    users = sorted(user.environment for user in users_of(variables).values() if user != mark)
    if users:
        reasons.append(f"the pipeline of {', '.join(users)}")
    return reasons
