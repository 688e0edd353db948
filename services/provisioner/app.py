"""The composition root: settings, adapters, handlers, service. Nothing connects before `run`."""

from chassis.questions import answer_all
from chassis.service import Service
from chassis.settings import ChassisSettings
from chassis.step_log import StepLog
from contracts.plans import DesiredState, PlanEnvironment
from services.provisioner.adapters.git import GitEnvironments
from services.provisioner.adapters.golden_paths import DirectoryGoldenPaths
from services.provisioner.adapters.infrastructure import TerraformInfrastructure
from services.provisioner.adapters.terraform_provider.access import access_from
from services.provisioner.handlers import Handlers
from services.provisioner.settings import ProvisionerSettings
from services.provisioner.subscriptions import subscriptions


def main() -> None:
    """Run until SIGTERM."""
    service = Service("provisioner", ChassisSettings())
    settings = ProvisionerSettings()
    repository = GitEnvironments(settings.git_knobs)
    infrastructure = TerraformInfrastructure(settings.terraform_knobs, access_from(settings))
    service.checks["terraform"] = infrastructure.check
    service.at_close(infrastructure.close)
    log = StepLog(service.bus, "infrastructure", service.clock)
    handlers = Handlers(
        repository=repository,
        infrastructure=infrastructure,
        golden_paths=DirectoryGoldenPaths(settings.golden_paths_directory, settings.modules_directory, settings.target),
        step_log=log,
        platform=settings.platform,
    )
    service.prepare(
        lambda: answer_all(
            service.bus, service.name, {PlanEnvironment: handlers.plan, DesiredState: handlers.desired_state}
        )
    )
    service.subscribe(subscriptions(handlers), on_waiting=log.waiting)
    service.run()
