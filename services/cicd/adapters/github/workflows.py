"""Runs of workflows that are asked for, and what keeps a branch from an accident."""

from datetime import UTC, datetime
from typing import Any

from github.Repository import Repository as GithubRepository

from services.cicd.adapters.github.answers import or_none
from services.cicd.adapters.github.connection import Connection


class Workflows(Connection):
    """Part of `ports.Forge`."""

    async def protect_branch(self, repository: str, branch: str, *, approvals: int) -> None:
        """See the port."""
        reviews = {"required_approving_review_count": approvals, "dismiss_stale_reviews": True} if approvals else None
        # The four that must be there may be null (docs.github.com, "Update branch protection"). PyGithub's own call
        # cannot read every answer to this.
        wanted: dict[str, Any] = {
            "required_status_checks": None,
            "enforce_admins": True,
            "required_pull_request_reviews": reviews,
            "restrictions": None,
            "allow_force_pushes": False,
            "allow_deletions": False,
        }
        await self.on(
            repository,
            f"protect the branch {branch}",
            lambda repo: repo.requester.requestJsonAndCheck(
                "PUT", f"{repo.url}/branches/{branch}/protection", input=wanted
            ),
        )

    async def has_run(self, repository: str, workflow: str, *, commit: str, since: datetime) -> bool:
        """See the port."""
        asked = {"event": "workflow_dispatch", "head_sha": commit, "per_page": 30}

        def look(repo: GithubRepository) -> bool:
            address = f"{repo.url}/actions/workflows/{_file(workflow)}/runs"
            found = or_none(lambda: repo.requester.requestJsonAndCheck("GET", address, parameters=asked))
            # GitHub's times are whole seconds.
            first = since.astimezone(UTC).replace(microsecond=0)
            runs = found[1]["workflow_runs"] if found else []
            return any(datetime.fromisoformat(run["created_at"]) >= first for run in runs)

        return await self.on(repository, f"look for runs of {workflow}", look)

    async def run_workflow(self, repository: str, workflow: str, *, branch: str) -> None:
        """See the port."""
        await self.on(
            repository,
            f"run {workflow}",
            lambda repo: repo.requester.requestJsonAndCheck(
                "POST", f"{repo.url}/actions/workflows/{_file(workflow)}/dispatches", input={"ref": branch}
            ),
        )


def _file(workflow: str) -> str:
    return workflow.rpartition("/")[2]
