"""Telling of runs and jobs: the webhooks `workflow_run` and `workflow_job`, and a deployment for each job that has an
environment, with its statuses.

Invariant: called by the book within the transaction that changes the state, so what is told and what is true are one.
"""

from typing import Any, Final, Literal

from deploy.embedded.forge import deployments
from deploy.embedded.forge.accounts import Principal
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Forge
from deploy.embedded.forge.deployments import NewDeployment, NewDeploymentStatus
from deploy.embedded.forge.errors import ForgeError
from deploy.embedded.forge.store import Row
from deploy.embedded.forge.workflows.shapes import Shapes

_STATES: Final[dict[str, deployments.State]] = {
    "success": "success",
    "failure": "failure",
    "timed_out": "failure",
    "cancelled": "error",
    "skipped": "inactive",
}


class Announcer:
    """Says what the book says."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    def said(self, kind: Literal["run", "job"], row_id: int, action: str) -> None:
        """A run or a job has come to a new state."""
        if kind == "run":
            self._run(self._forge.store.row("workflow_runs", row_id), action)
        else:
            self._job(self._forge.store.row("workflow_jobs", row_id), action)

    def _access(self, run: Row) -> Access:
        repository = self._forge.repositories.known(run["repository_id"])
        actor = self._forge.accounts.by_id(run["actor_id"])
        return Access(self._forge, Principal(actor, admin=False), repository, "write")

    def _run(self, run: Row, action: str) -> None:
        access = self._access(run)

        def payload() -> dict[str, Any]:
            found = Shapes(self._forge, access.repository)
            workflow = self._forge.store.row("workflows", run["workflow_id"])
            return {"action": action, "workflow": found.workflow(workflow), "workflow_run": found.run(run)}

        self._forge.hooks.say(access.repository, "workflow_run", access.caller, payload, traceparent=run["traceparent"])

    def _job(self, job: Row, action: str) -> None:
        run = self._forge.store.row("workflow_runs", job["run_id"])
        access = self._access(run)
        self._forge.hooks.say(
            access.repository,
            "workflow_job",
            access.caller,
            lambda: {"action": action, "workflow_job": Shapes(self._forge, access.repository).job(job)},
            traceparent=run["traceparent"],
        )
        if job["environment"] is not None:
            self._deploy(access, run, job, action)

    def _deploy(self, access: Access, run: Row, job: Row, action: str) -> None:
        """As GitHub does: a job with an environment is a deployment to it from the moment it begins."""
        if action == "in_progress":
            self._ensure_environment(access, job["environment"])
            try:
                made = deployments.create_deployment(
                    NewDeployment(ref=run["head_sha"], environment=job["environment"]), access
                )
            except ForgeError:
                return  # a name that no environment can have; the job says what becomes of it
            self._forge.store.update("workflow_jobs", job["id"], deployment_id=made["id"])
            self._status(access, run, job, made["id"], "in_progress")
        elif action == "completed" and job["deployment_id"] is not None:
            self._status(access, run, job, job["deployment_id"], _STATES[job["conclusion"]])

    def _ensure_environment(self, access: Access, name: str) -> None:
        now = timestamp()
        self._forge.store.execute(
            "INSERT INTO environments (repository_id, name, created_at, updated_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (repository_id, name) DO NOTHING",
            [access.repository.id, name, now, now],
        )

    def _status(self, access: Access, run: Row, job: Row, deployment_id: int, state: deployments.State) -> None:
        found = Shapes(self._forge, access.repository)
        said = NewDeploymentStatus(state=state, log_url=found.job_page(run, job))
        deployments.add_status(access, deployment_id, said, found.run(run))
