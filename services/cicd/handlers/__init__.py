"""The deeds of this service: create a pipeline, update it, remove it, put it back.

Invariant: a deed may be repeated any number of times, from wherever it broke off; see `creation`, `updating`, `removal`
and `restoring`.
"""

from dataclasses import dataclass, field, replace

from chassis.failures import PermanentError
from contracts.events import EnvironmentDeletionRequested, PipelineCreatedData, PipelineFailed, SecretsStored, Undone
from contracts.golden_path import GoldenPath
from contracts.values import EnvironmentSpec, Pipeline, PullRequest, Receipt
from services.cicd.domain import File, Mark, Plan, Safeguards, check_offer, follows_nothing_new, workflow_path
from services.cicd.handlers.creation import Creation
from services.cicd.handlers.mirroring import Mirror
from services.cicd.handlers.removal import Removal
from services.cicd.handlers.restoring import Restoration
from services.cicd.handlers.updating import Update
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
    archive_kept: bool = False
    """Whether a repository of a deleted environment that holds somebody's work is archived."""
    production: Safeguards = field(default_factory=Safeguards)
    """What production environments have."""

    async def create_pipeline(self, event: SecretsStored) -> PipelineCreatedData:
        """A repository with a workflow that deploys on push: new from the skeleton, or an existing one that is offered
        the workflow in a pull request. On an update run, the same pipeline in its new desired state."""
        data = event.data
        if data.spec.pull_request is not None:
            pipeline = await self._mirror(event, data.spec.pull_request)
        elif data.previous is None:
            pipeline = await self._create(event)
        else:
            pipeline = await self._update(event, data.previous)
        if pipeline.pull_request_url:
            then = "to deploy that way" if data.previous else "to begin deploying"
            await self.progress.line(event, f"Merge {pipeline.pull_request_url} {then}.")
        else:
            within = f" that changes {data.spec.path}" if data.spec.path else ""
            pushes = f"every push to {pipeline.branch}{within}"
            await self.progress.line(event, f"{pipeline.workflow_path} deploys {pushes}.")
        return PipelineCreatedData(
            spec=data.spec,
            previous=data.previous,
            infrastructure=data.infrastructure,
            secrets=data.secrets,
            pipeline=pipeline,
        )

    async def remove_pipeline(self, event: PipelineFailed | EnvironmentDeletionRequested) -> Undone:
        """Take away what `create_pipeline` made, as far as it is still only ours, and say what was kept or left and
        why. After a failed update, put back what was there before."""
        spec, previous = event.data.spec, event.data.previous
        if previous is None or isinstance(event, EnvironmentDeletionRequested):
            mark = Mark(spec.name, event.incarnation, spec.owner.team)
            receipt = await Removal(
                self.forge, spec.repository, spec.branch, mark, event.time, self.archive_kept
            ).carry_out()
        elif spec.pull_request is not None:
            # Its workflow is nobody's but ours, and goes on deploying the pull request.
            receipt = Receipt()
        else:
            receipt = await Restoration(
                self.forge, spec, previous, event.incarnation, event.run_id, event.time
            ).carry_out()
        await self._tell(event, receipt)
        return Undone(spec=spec, previous=previous, receipt=receipt)

    async def _tell(self, event: PipelineFailed | EnvironmentDeletionRequested, receipt: Receipt) -> None:
        for resource in receipt.removed:
            await self.progress.line(event, f"Removed {resource.kind.replace('_', ' ')} {resource.id}.")
        for resource in receipt.restored:
            await self.progress.line(event, f"Put back {resource.kind.replace('_', ' ')} {resource.id}.")
        for kept in receipt.kept:
            await self.progress.line(event, f"Kept {kept.resource.id}: {kept.reason}")
        for left in receipt.left_behind:
            await self.progress.line(event, f"Left {left.resource.id}: {left.reason}", "warning")

    async def _create(self, event: SecretsStored) -> Pipeline:
        path = await self._published(event.data.spec)
        values = _values(event, path)
        workflow = await self._workflow(event, path, values)
        skeleton = await self.golden_paths.skeleton(path, values)
        pipeline = await Creation(self.forge, self._plan(event, path.title), workflow, skeleton).carry_out()
        made = "is made from the skeleton" if pipeline.origin == "created" else "is attached"
        await self.progress.line(event, f"The repository {pipeline.repository} {made}.")
        return pipeline

    async def _mirror(self, event: SecretsStored, pull: PullRequest) -> Pipeline:
        """The preview of a pull request: a branch of ours with its files."""
        spec, mark = event.data.spec, Mark(event.data.spec.name, event.incarnation, event.data.spec.owner.team)
        path = await self._published(spec)
        workflow = await self._workflow(event, path, replace(_values(event, path), branch=mark.branch))
        plan = replace(self._plan(event, path.title), branch=mark.branch)
        mirror = Mirror(self.forge, spec.repository, pull.number, mark)
        return await mirror.carry_out(plan, workflow, pull.approved_commit)

    async def _update(self, event: SecretsStored, previous: EnvironmentSpec) -> Pipeline:
        spec = event.data.spec
        nothing_new = follows_nothing_new(spec, previous)
        try:
            path = await self._published(spec)
        except PermanentError:
            if not nothing_new:
                raise
            workflow, title = None, spec.golden_path
        else:
            workflow, title = await self._workflow(event, path, _values(event, path)), path.title
        pipeline = await Update(self.forge, self._plan(event, title), previous, workflow).carry_out()
        await self.progress.line(event, f"The pipeline in {pipeline.repository} is as the update wants it.")
        return pipeline

    async def _published(self, spec: EnvironmentSpec) -> GoldenPath:
        path = await self.golden_paths.find(spec.golden_path)
        check_offer(path, spec)
        return path

    async def _workflow(self, event: SecretsStored, path: GoldenPath, values: Values) -> File:
        workflow = await self.golden_paths.workflow(path, values)
        if problems := await self.workflow_check.problems(workflow):
            raise PermanentError(
                "workflow_invalid",
                f"the workflow of the golden path {path.name} {path.version} is not valid: {problems[0]}",
                next_step=f"Tell the team {path.owner}, which answers for this golden path.",
            )
        return File(workflow_path(event.data.spec.name), workflow)

    def _plan(self, event: SecretsStored, title: str) -> Plan:
        spec = event.data.spec
        return Plan(
            repository=spec.repository,
            branch=spec.branch,
            mark=Mark(spec.name, event.incarnation, spec.owner.team),
            run=event.run_id,
            golden_path=spec.golden_path,
            golden_path_version=spec.golden_path_version,
            title=title,
            platform_url=self.platform_url,
            environment_url=event.data.infrastructure.url,
            path=spec.path,
            safeguards=self.production if spec.kind == "production" else Safeguards(),
            asked_at=event.time,
        )


def _values(event: SecretsStored, path: GoldenPath) -> Values:
    spec = event.data.spec
    return Values(
        environment=spec.name,
        branch=spec.branch,
        golden_path=path.name,
        golden_path_version=path.version,
        description=f"{path.title} of the team {spec.owner.team}.",
        url=event.data.infrastructure.url,
        path=spec.path,
    )
