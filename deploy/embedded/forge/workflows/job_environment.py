"""Who a job is and what its environment says of it: `GITHUB_…` as GitHub sets them, with this forge's addresses."""

from urllib.parse import urlsplit

from deploy.embedded.forge.context import Forge
from deploy.embedded.forge.store import Row
from deploy.embedded.forge.workflows.definition import Job, Workflow
from deploy.embedded.forge.workflows.identity import JobIdentity


def entrusts_identity(job: Job, run: Row) -> bool:
    """Whether a job may ask for a token of its identity: it declares so, its steps are in this file (a reusable
    workflow's are not known here), and its commits are the repository's own."""
    return job.wants_identity and "uses" not in job.tree and not run["foreign_head"]


def job_identity(forge: Forge, job: Row, run: Row, workflow: Workflow) -> JobIdentity:
    """What can be claimed about a job."""
    repository = forge.repositories.known(run["repository_id"])
    actor = forge.accounts.by_id(run["actor_id"])
    return JobIdentity(
        job_id=job["id"],
        repository=repository.full_name,
        repository_id=repository.id,
        repository_owner=repository.owner.login,
        repository_owner_id=repository.owner.id,
        private=repository.private,
        ref=run["ref"],
        sha=run["head_sha"],
        environment=job["environment"],
        actor=actor.login,
        actor_id=actor.id,
        run_id=run["id"],
        run_number=run["number"],
        run_attempt=job["attempt"],
        workflow=workflow.name,
        workflow_path=workflow.path,
        event_name=run["event"],
        head_ref=run["head_ref"],
        base_ref=run["base_ref"],
    )


def job_environment(forge: Forge, identity: JobIdentity) -> dict[str, str]:
    """What `act` does not know or would get wrong; the rest it sets itself."""
    claims = identity.claims()
    own = {
        name.upper(): claims[name]
        for name in (
            "repository_id",
            "repository_owner_id",
            "actor_id",
            "workflow_ref",
            "workflow_sha",
            "ref_protected",
        )
    }
    known = {
        **own,
        "SERVER_URL": forge.urls.public,
        "API_URL": forge.urls.api,
        "GRAPHQL_URL": f"{forge.urls.public}/api/graphql",
        "RUN_ID": claims["run_id"],
        "RUN_NUMBER": claims["run_number"],
        "RUN_ATTEMPT": claims["run_attempt"],
        "TRIGGERING_ACTOR": identity.actor,
        "SHA": identity.sha,
    }
    return {f"GITHUB_{name}": value for name, value in known.items()} | {
        "RUNNER_ENVIRONMENT": "self-hosted",
        "RUNNER_NAME": f"forge-{urlsplit(forge.urls.public).port or 'local'}",
    }
