"""Who may deploy to an environment, and when it can be deployed to. Pure.

Invariant: a workflow's token opens the one environment for which its job was made, on its branch, from its repository,
and nothing else; whatever does not fit is told apart from what does not exist by nobody.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from contracts.deployments import ReleaseNote
from contracts.queries import EnvironmentView
from services.gateway.domain.obstacles import exists
from services.gateway.domain.refusals import BrokenRule, InvalidError, RefusalError, UnavailableError

AUDIENCE: Final = "slipway"
"""Whom a workflow's token has to be meant for."""
NOT_YET_SECONDS: Final = 3
"""When to come back to an environment that is about to be there."""
_NEVER: Final = frozenset({"pull_request", "pull_request_target"})
"""Events whose workflows run what a stranger may have written."""


class DeploymentFailedError(RefusalError):
    """The release did not become live. What was live before still is."""

    code = "deployment_failed"

    def __init__(self, detail: str, lines: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.lines = tuple(lines)


class NotDeployableError(RefusalError):
    """The environment is going, or was never made."""

    code = "not_deployable"


class NoSuchReleaseError(RefusalError):
    """There is no release to go back to."""

    code = "no_such_release"


class NoRuntimeError(RefusalError):
    """This platform runs no applications itself."""

    code = "no_runtime"


def is_meant(claims: Mapping[str, object], view: EnvironmentView) -> bool:
    """Whether a workflow's token (whose signature, issuer, audience and times were checked) is one for this
    environment. Where its pipeline is not known yet, the repository's name has to do; then nothing is deployed yet."""
    if claims.get("environment") != view.name or claims.get("event_name") in _NEVER:
        return False
    branch = view.pipeline.branch if view.pipeline is not None else view.spec.deployed_branch
    if claims.get("ref") != f"refs/heads/{branch}":
        return False
    if view.pipeline is None:
        return claims.get("repository") == view.spec.repository
    return str(claims.get("repository_id")) == str(view.pipeline.repository_id)


def check_note(note: ReleaseNote, claims: Mapping[str, object], view: EnvironmentView) -> None:
    """Raise `InvalidError` where a workflow says something else of its build than its token does."""
    wrong = []
    if note.commit != claims.get("sha"):
        wrong.append(BrokenRule("commit", "must be the commit that the workflow runs for"))
    if view.pipeline is not None and note.branch != view.pipeline.branch:
        wrong.append(BrokenRule("branch", "must be the branch that the workflow runs for"))
    if wrong:
        raise InvalidError(wrong)


def check_deployable(view: EnvironmentView) -> None:
    """Raise `NotDeployableError` where nothing can be deployed any more, and `UnavailableError` where it cannot be
    yet."""
    if view.state in {"deleting", "undoing", "deleted"} or not exists(view):
        raise NotDeployableError(
            f"The environment is {view.state}, so nothing can be deployed to it. Create it anew: `slipway create`."
        )
    if view.infrastructure is None or view.secrets is None or view.pipeline is None:
        raise UnavailableError(
            "The environment is being created and cannot be deployed to yet. Ask again as soon as Retry-After says.",
            NOT_YET_SECONDS,
        )
