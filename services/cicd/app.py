"""The composition root: settings, adapters, handlers, service. Nothing connects before it runs."""

from opentelemetry.instrumentation.requests import RequestsInstrumentor

from chassis.service import Service
from chassis.settings import ChassisSettings, read_secret
from chassis.step_log import StepLog
from services.cicd.adapters.actionlint import Actionlint
from services.cicd.adapters.github import GitHubForge
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths
from services.cicd.handlers import PipelineHandlers
from services.cicd.settings import CicdSettings
from services.cicd.subscriptions import subscriptions


def main() -> None:
    """Run the service."""
    service = Service("cicd", ChassisSettings())
    settings = CicdSettings()
    RequestsInstrumentor().instrument()  # the trace goes on into the forge
    forge = GitHubForge(
        settings.forge_url,
        read_secret(settings.forge_token_file),
        pause_seconds=(settings.forge_seconds_between_requests, settings.forge_seconds_between_writes),
        private=settings.repositories_private,
        concurrency=settings.forge_concurrency,
    )
    service.checks["forge"] = forge.check
    log = StepLog(service.bus, "pipeline", service.clock)
    handlers = PipelineHandlers(
        golden_paths=DirectoryGoldenPaths(settings.golden_paths),
        workflow_check=Actionlint(),
        forge=forge,
        progress=log,
        platform_url=settings.platform_url,
    )
    service.subscribe(subscriptions(handlers), on_waiting=log.waiting)
    service.run()
