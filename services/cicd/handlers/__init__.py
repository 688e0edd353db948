"""The deeds of this service: create a pipeline, and remove it.

Invariant: a deed may be repeated any number of times, from wherever it broke off; see `creation` and `removal`.
"""

from dataclasses import dataclass

from chassis.failures import PermanentError
from contracts.events import EnvironmentDeletionRequested, PipelineCreatedData, PipelineFailed, SecretsStored, Undone
from services.cicd.domain import File, Mark, Plan, check_offer, workflow_path
from services.cicd.handlers.creation import Creation
from services.cicd.handlers.removal import Removal
from services.cicd.ports import Forge, GoldenPaths, Progress, Values, WorkflowCheck


@dataclass(frozen=True)
class PipelineHandlers:
    """What this service does about an event."""

    golden_paths: GoldenPaths
    workflow_check: WorkflowCheck
    forge: Forge
    progress: Progress
    platform_url: str
    """Where workflows find the platform; goes into the repository variable `SLIPWAY_URL`."""

    async def create_pipeline(self, event: SecretsStored) -> PipelineCreatedData:
        """A repository with a workflow that deploys on push: new from the skeleton, or an existing one that is offered
        the workflow in a pull request."""
        plan = await self._plan(event)
        pipeline = await Creation(self.forge, plan).carry_out()
        made = "is made from the skeleton" if pipeline.origin == "created" else "is attached"
        await self.progress.line(event, f"The repository {pipeline.repository} {made}.")
        if pipeline.pull_request_url:
            await self.progress.line(event, f"Merge {pipeline.pull_request_url} to begin deploying.")
        else:
            await self.progress.line(event, f"{plan.workflow.path} deploys every push to {plan.branch}.")
        data = event.data
        return PipelineCreatedData(
            spec=data.spec, infrastructure=data.infrastructure, secrets=data.secrets, pipeline=pipeline
        )

    async def remove_pipeline(self, event: PipelineFailed | EnvironmentDeletionRequested) -> Undone:
        """Take away what `create_pipeline` made, as far as it is still only ours, and say what was left and why."""
        spec = event.data.spec
        mark = Mark(spec.name, event.incarnation, spec.owner.team)
        receipt = await Removal(self.forge, spec.repository, spec.branch, mark).carry_out()
        for resource in receipt.removed:
            await self.progress.line(event, f"Removed {resource.kind.replace('_', ' ')} {resource.id}.")
        for left in receipt.left_behind:
            await self.progress.line(event, f"Left {left.resource.id}: {left.reason}", "warning")
        return Undone(spec=spec, receipt=receipt)

    async def _plan(self, event: SecretsStored) -> Plan:
        spec = event.data.spec
        path = await self.golden_paths.find(spec.golden_path)
        check_offer(path, spec)
        values = Values(
            environment=spec.name,
            branch=spec.branch,
            golden_path=path.name,
            golden_path_version=path.version,
            description=f"{path.title} of the team {spec.owner.team}.",
            url=event.data.infrastructure.url,
        )
        workflow = await self.golden_paths.workflow(path, values)
        if problems := await self.workflow_check.problems(workflow):
            raise PermanentError(
                "workflow_invalid",
                f"the workflow of the golden path {path.name} {path.version} is not valid: {problems[0]}",
                next_step=f"Tell the team {path.owner}, which answers for this golden path.",
            )
        return Plan(
            repository=spec.repository,
            branch=spec.branch,
            mark=Mark(spec.name, event.incarnation, spec.owner.team),
            golden_path=f"{path.name} {path.version}",
            title=path.title,
            platform_url=self.platform_url,
            environment_url=event.data.infrastructure.url,
            skeleton=await self.golden_paths.skeleton(path, values),
            workflow=File(workflow_path(spec.name), workflow),
            asked_at=event.time,
        )
