"""The composition root: settings, adapters, handlers, service. Nothing connects before it runs."""

from pydantic import SecretStr

from chassis.publishing import FactPublisher
from chassis.service import Service
from chassis.settings import ChassisSettings, read_secret
from chassis.step_log import StepLog
from services.cicd.adapters.actionlint import Actionlint
from services.cicd.adapters.feedback import FeedbackReader
from services.cicd.adapters.github import AppCredentials, GitHubForge, trace_requests
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths
from services.cicd.handlers import PipelineHandlers
from services.cicd.handlers.tickets import Tickets
from services.cicd.settings import CicdSettings
from services.cicd.subscriptions import FEEDBACK, subscriptions


def main() -> None:
    """Run the service."""
    service = Service("cicd", ChassisSettings())
    settings = CicdSettings()
    trace_requests()
    forge = GitHubForge(
        settings.forge_url,
        credentials(settings),
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
        archive_kept=settings.repositories_with_work == "archive",
    )
    service.subscribe(subscriptions(handlers), on_waiting=log.waiting)
    if settings.tickets_repository is not None:
        tickets = Tickets(
            desk=forge,
            facts=FactPublisher(service.bus),
            key=service.key,
            clock=service.clock,
            repository=settings.tickets_repository,
            platform_url=settings.platform_url,
        )
        service.alongside("feedback", FeedbackReader(service.bus, FEEDBACK, tickets.open).run)
    service.run()


def credentials(settings: CicdSettings) -> SecretStr | AppCredentials:
    """Who we are on the forge. Raises OSError where a file cannot be read."""
    if settings.forge_token_file is not None:
        return read_secret(settings.forge_token_file)
    app_id, installation_id = settings.github_app_id, settings.github_app_installation_id
    if app_id is None or installation_id is None or settings.github_app_private_key_file is None:
        raise ValueError("the settings of the GitHub App are not complete")
    return AppCredentials(app_id, installation_id, read_secret(settings.github_app_private_key_file))
