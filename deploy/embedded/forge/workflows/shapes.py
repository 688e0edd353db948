"""Workflows, runs, jobs and check runs as GitHub's JSON."""

from typing import Any, Final

from deploy.embedded.forge import shapes
from deploy.embedded.forge.accounts import Account
from deploy.embedded.forge.context import Forge
from deploy.embedded.forge.records import Repository
from deploy.embedded.forge.store import Row

_RUN_STATUS: Final = {"pending": "pending", "queued": "queued", "in_progress": "in_progress", "completed": "completed"}
_JOB_STATUS: Final = {"waiting": "queued", "pending": "pending"}


class Shapes:
    """The shapes of one repository's things."""

    def __init__(self, forge: Forge, repository: Repository) -> None:
        self._forge = forge
        self._repository = repository
        self._url = f"{forge.urls.repository(repository.full_name)}"
        self._page = forge.urls.page(repository.full_name)

    def run_page(self, run: Row) -> str:
        """A run in a browser."""
        return f"{self._page}/actions/runs/{run['id']}"

    def workflow(self, row: Row) -> dict[str, Any]:
        """A workflow."""
        branch = self._repository.default_branch
        return {
            "id": row["id"],
            "node_id": shapes.node_id("Workflow", row["id"]),
            "name": row["name"],
            "path": row["path"],
            "state": "active",
            "created_at": row["created_at"],
            "updated_at": row["updated_at"],
            "url": f"{self._url}/actions/workflows/{row['id']}",
            "html_url": f"{self._page}/blob/{branch}/{row['path']}",
            "badge_url": "",
        }

    def run(self, row: Row, *, attempt: int | None = None) -> dict[str, Any]:
        """A run."""
        store = self._forge.store
        workflow = store.row("workflows", row["workflow_id"])
        actor = self._account(row["actor_id"])
        url = f"{self._url}/actions/runs/{row['id']}"
        return {
            "id": row["id"],
            "node_id": shapes.node_id("WorkflowRun", row["id"]),
            "name": workflow["name"],
            "path": workflow["path"],
            "display_title": row["title"],
            "run_number": row["number"],
            "run_attempt": attempt or row["attempt"],
            "event": row["event"],
            "status": _RUN_STATUS[row["status"]],
            "conclusion": row["conclusion"],
            "workflow_id": row["workflow_id"],
            "workflow_url": f"{self._url}/actions/workflows/{row['workflow_id']}",
            "head_branch": row["head_branch"],
            "head_sha": row["head_sha"],
            "head_commit": self._commit(row["head_sha"]),
            "pull_requests": [],
            "actor": actor,
            "triggering_actor": actor,
            "created_at": row["created_at"],
            "run_started_at": row["started_at"],
            "updated_at": row["updated_at"],
            "url": url,
            "html_url": self.run_page(row),
            "jobs_url": f"{url}/jobs",
            "logs_url": f"{url}/logs",
            "artifacts_url": f"{url}/artifacts",
            "cancel_url": f"{url}/cancel",
            "rerun_url": f"{url}/rerun",
            "check_suite_id": row["id"],
            "repository": shapes.repository(self._forge.urls, self._repository, "read"),
            "head_repository": shapes.repository(self._forge.urls, self._repository, "read"),
        }

    def job(self, row: Row) -> dict[str, Any]:
        """A job with its steps."""
        run = self._forge.store.row("workflow_runs", row["run_id"])
        return {
            "id": row["id"],
            "node_id": shapes.node_id("CheckRun", row["id"]),
            "run_id": run["id"],
            "run_attempt": row["attempt"],
            "run_url": f"{self._url}/actions/runs/{run['id']}",
            "workflow_name": self._forge.store.row("workflows", run["workflow_id"])["name"],
            "head_branch": run["head_branch"],
            "head_sha": run["head_sha"],
            "name": row["name"],
            "status": _JOB_STATUS.get(row["status"], row["status"]),
            "conclusion": row["conclusion"],
            "created_at": row["created_at"],
            "started_at": row["started_at"] or row["created_at"],
            "completed_at": row["completed_at"],
            "steps": [_step(each) for each in steps_of(self._forge, row)],
            "labels": ["self-hosted"],
            "runner_id": 1 if row["started_at"] else None,
            "runner_name": "forge" if row["started_at"] else None,
            "runner_group_id": 1 if row["started_at"] else None,
            "runner_group_name": "Default" if row["started_at"] else None,
            "url": f"{self._url}/actions/jobs/{row['id']}",
            "html_url": self.job_page(run, row),
            "check_run_url": f"{self._url}/check-runs/{row['id']}",
        }

    def job_page(self, run: Row, job: Row) -> str:
        """A job in a browser."""
        return f"{self.run_page(run)}#job-{job['id']}"

    def check_run(self, row: Row) -> dict[str, Any]:
        """A job as a check of its commit."""
        run = self._forge.store.row("workflow_runs", row["run_id"])
        status = _JOB_STATUS.get(row["status"], row["status"])
        return {
            "id": row["id"],
            "node_id": shapes.node_id("CheckRun", row["id"]),
            "name": row["name"],
            "head_sha": run["head_sha"],
            "external_id": str(row["id"]),
            "status": "queued" if status == "pending" else status,
            "conclusion": row["conclusion"],
            "started_at": row["started_at"],
            "completed_at": row["completed_at"],
            "url": f"{self._url}/check-runs/{row['id']}",
            "html_url": self.job_page(run, row),
            "details_url": self.job_page(run, row),
            "output": {
                "title": row["problem"],
                "summary": row["problem"],
                "text": None,
                "annotations_count": 0,
                "annotations_url": f"{self._url}/check-runs/{row['id']}/annotations",
            },
            "check_suite": {"id": run["id"]},
            "app": {"id": 1, "slug": "github-actions", "name": "GitHub Actions"},
            "pull_requests": [],
        }

    def _account(self, account_id: int) -> dict[str, Any]:
        found: Account = self._forge.accounts.by_id(account_id)
        return shapes.account(self._forge.urls, found)

    def _commit(self, sha: str) -> dict[str, Any] | None:
        found = self._forge.bare(self._repository).commit(sha)
        if found is None:
            return None
        return {
            "id": found.sha,
            "tree_id": found.tree,
            "message": found.message,
            "timestamp": found.committer.date(),
            "author": {"name": found.author.name, "email": found.author.email},
            "committer": {"name": found.committer.name, "email": found.committer.email},
        }


def steps_of(forge: Forge, job: Row) -> list[Row]:
    """The steps of a job in their order."""
    return forge.store.all("SELECT * FROM workflow_steps WHERE job_id = ? ORDER BY number", [job["id"]])


def _step(row: Row) -> dict[str, Any]:
    return {key: row[key] for key in ("name", "number", "status", "conclusion", "started_at", "completed_at")}
