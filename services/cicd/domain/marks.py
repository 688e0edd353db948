"""The marks by which a thing on the forge says whose it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from services.cicd.domain.things import Repository

TOPIC: Final = "slipway"
"""The topic on every repository the platform made."""
URL_VARIABLE: Final = "SLIPWAY_URL"
"""Repository variable: where workflows find the platform. Without it they build and test, and do not deploy."""
MADE_FOR_VARIABLE: Final = "SLIPWAY_MADE_FOR"
"""Repository variable: the mark of the environment that a repository was made for."""
USED_BY_PREFIX: Final = "SLIPWAY_ENV_"
"""Repository variables `SLIPWAY_ENV_<NAME>`: the marks of the environments that a repository has a pipeline for."""

NOT_OURS_PREFIX: Final = "SLIPWAY_FOUND_"
"""Repository variables `SLIPWAY_FOUND_<NAME>`: deployment environments that their owner had before, and keeps."""

_MARK: Final = re.compile(r"([a-z][a-z0-9-]{0,39})/([0-9a-f-]{36})/([a-z][a-z0-9-]{0,39})")
_CLAIM: Final = re.compile(r"Slipway is making this repository for ([^ ]{1,200})\.")
_OF_A_RUN: Final = re.compile(r"--[0-9a-f]{8}(?:-stop)?")


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

    def succeeds(self, earlier: "Mark") -> bool:
        """Whether `earlier` is of the same environment and team. A name lives one life at a time, so what an earlier
        one left is free for this one."""
        return (self.environment, self.team) == (earlier.environment, earlier.team)

    @property
    def used_by_variable(self) -> str:
        """The repository variable that says that this environment has a pipeline here. Environment names have no
        underscore, so no two of them share one."""
        return USED_BY_PREFIX + self.environment.upper().replace("-", "_")

    @property
    def branch(self) -> str:
        """The branch on which a workflow is first offered to an existing repository."""
        return f"slipway/{self.environment}"

    def update_branch(self, run: UUID) -> str:
        """The branch on which a run offers a changed workflow. No name has two hyphens in a row, so no two
        environments share one."""
        return f"{self.branch}--{run.hex[:8]}"

    def stop_branch(self, run: UUID) -> str:
        """The branch on which a run offers that a branch which is not asked for any more deploys no longer."""
        return f"{self.update_branch(run)}-stop"

    @property
    def detach_branch(self) -> str:
        """The branch on which it is offered to take the workflow away again. `offers_on` leaves it out:
        this offer outlives the environment."""
        return f"{self.branch}--detach"

    @property
    def not_ours_variable(self) -> str:
        """The repository variable that says that the deployment environment of this name was there before us."""
        return NOT_OURS_PREFIX + self.environment.upper().replace("-", "_")

    def offers_on(self, branch: str) -> bool:
        """Whether a branch is one on which this environment offers something."""
        rest = branch.removeprefix(self.branch)
        return rest != branch and (not rest or _OF_A_RUN.fullmatch(rest) is not None)

    @property
    def trailers(self) -> str:
        """The end of the message of every commit made for this environment."""
        return f"Slipway-Environment: {self.environment}\nSlipway-Incarnation: {self.incarnation}\n"


def workflow_path(environment: str) -> str:
    """Where an environment's workflow lives: a file of its own, so that several environments share a repository."""
    return f".github/workflows/slipway-{environment}.yml"


def owner_of(repository: "Repository", variables: Mapping[str, str]) -> Mark | None:
    """The environment that a repository was made for, or None where the platform did not make it."""
    return Mark.parse(variables.get(MADE_FOR_VARIABLE)) or Mark.parse_claim(repository.description)


def users_of(variables: Mapping[str, str]) -> dict[str, Mark]:
    """The environments that have a pipeline in a repository, by the variable that says so."""
    marks = {name: Mark.parse(value) for name, value in variables.items() if name.startswith(USED_BY_PREFIX)}
    return {name: mark for name, mark in marks.items() if mark is not None}
