"""What may be done with a repository that exists: continued, offered something, refused, deleted, kept."""

from collections.abc import Mapping, Sequence
from typing import Literal

from chassis.failures import PermanentError
from services.cicd.domain.marks import URL_VARIABLE, Mark, owner_of, users_of
from services.cicd.domain.plans import Plan
from services.cicd.domain.things import INITIAL_COMMIT_MESSAGE, Commit, Repository


def decide(repository: Repository, variables: Mapping[str, str], plan: Plan) -> Literal["continue", "attach"]:
    """What to do with a repository that exists: go on with it as ours, or offer it a workflow. What an earlier life of
    the same environment and team left in it is taken over.

    Raises `PermanentError` where it must be left alone: it is archived, it was made for another team's environment, or
    another platform or another team's environment of this name deploys from it.
    """
    if repository.archived:
        name = repository.name.partition("/")[2]
        raise PermanentError(
            "repository_archived",
            f"the repository {repository.name} is archived: somebody put it away, or an earlier environment left it",
            next_step="Unarchive it on the forge and retry; or start over with another repository, for instance"
            f" {repository.name}-2. If nobody needs {name} any more, deleting it on the forge frees its name too.",
        )
    owner = owner_of(repository, variables)
    ours = owner is not None and (owner == plan.mark or plan.mark.succeeds(owner))
    if owner is not None and not ours and owner.team != plan.mark.team:
        raise PermanentError(
            "repository_taken",
            f"the repository {repository.name} belongs to the environment {owner.environment} of the team {owner.team}",
            next_step=f"Choose another repository, or ask the team {owner.team}.",
        )
    if not ours and variables.get(URL_VARIABLE, plan.platform_url) != plan.platform_url:
        raise PermanentError(
            "repository_deploys_elsewhere",
            f"the repository {repository.name} has the variable {URL_VARIABLE}, which names another platform",
            next_step=f"Remove the variable {URL_VARIABLE} from the repository if it is a leftover; then retry.",
        )
    user = users_of(variables).get(plan.mark.used_by_variable)
    if user is not None and user != plan.mark and not plan.mark.succeeds(user):
        raise PermanentError(
            "repository_in_use",
            f"the repository {repository.name} has the pipeline of an environment {user.environment} of the team"
            f" {user.team}",
            next_step=f"Choose another repository; or, if that environment is gone, remove the variable"
            f" {plan.mark.used_by_variable} from this one and retry.",
        )
    return "continue" if ours else "attach"


def is_initial(commit: Commit) -> bool:
    """Whether this looks like the commit that the forge itself puts into a new repository."""
    return not commit.parents and commit.message.strip() == INITIAL_COMMIT_MESSAGE


def only_ours(mark: Mark, history: Sequence[Commit], *, being_made: bool) -> bool:
    """Whether a branch holds nothing but what we put there, on top of the forge's own first commit. `history` is all of
    it, newest first, or so much of it that it cannot be only ours.

    Anybody may call their first commit what the forge calls its own, so alone it counts only while the repository is
    `being_made`.
    """
    if not history or history[-1].parents:
        return False
    *above, root = history
    rooted = root.made_for(mark) or (is_initial(root) and (bool(above) or being_made))
    return rooted and all(commit.made_for(mark) for commit in above)


def reasons_to_keep(
    mark: Mark,
    *,
    histories: Sequence[Sequence[Commit]],
    being_made: bool,
    tags: bool,
    conversations: bool,
    variables: Mapping[str, str],
) -> list[str]:
    """Why a repository that we made must not be deleted, in words; empty where it holds nothing but our own work.

    `histories` are those of every branch. `tags` and `conversations` say whether anybody made a tag, or opened an
    issue or a pull request.
    """
    reasons: list[str] = []
    if not all(only_ours(mark, history, being_made=being_made) for history in histories):
        reasons.append("commits that Slipway did not make")
    if tags:
        reasons.append("tags")
    if conversations:
        reasons.append("issues or pull requests")
    users = sorted(user.environment for user in users_of(variables).values() if user != mark)
    if users:
        reasons.append(f"the pipeline of {', '.join(users)}")
    return reasons
