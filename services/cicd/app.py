"""The composition root: settings, adapters, handlers, service. Nothing connects before it runs."""

from pydantic import SecretStr

from chassis.service import Service
from chassis.settings import ChassisSettings, read_secret
from chassis.step_log import StepLog
from services.cicd.adapters.actionlint import Actionlint
from services.cicd.adapters.facts import BusFacts
from services.cicd.adapters.feedback import FeedbackReader
from services.cicd.adapters.github import AppCredentials, GitHubForge, trace_requests
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths
from services.cicd.adapters.previews import NoteReader, VerdictReader
from services.cicd.domain import Safeguards
from services.cicd.handlers import PipelineHandlers
from services.cicd.handlers.commenting import PreviewComments
from services.cicd.handlers.tickets import Tickets
from services.cicd.handlers.watching import TicketWatch
from services.cicd.settings import CicdSettings
from services.cicd.subscriptions import FEEDBACK, NOTES, VERDICTS, subscriptions


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
        production=Safeguards(settings.production_reviewers, settings.production_approvals),
    )
    service.subscribe(subscriptions(handlers), on_waiting=log.waiting)
    follow_previews(service, PreviewComments(forge, forge, service.key, settings.platform_url))
    if settings.tickets_repository is not None:
        facts = BusFacts(service.bus)
        tickets = Tickets(
            desk=forge,
            facts=facts,
            key=service.key,
            clock=service.clock,
            repository=settings.tickets_repository,
            platform_url=settings.platform_url,
        )
        service.alongside("feedback", FeedbackReader(service.bus, FEEDBACK, tickets.open).run)
        watch = TicketWatch(forge, facts, service.key, settings.tickets_repository, settings.tickets_look_seconds)
        service.alongside("tickets", watch.run)
    service.run()


def follow_previews(service: Service, comments: PreviewComments) -> None:
    """Hear what becomes of previews of pull requests, beside the events."""
    service.alongside("preview_notes", NoteReader(service.bus, NOTES, comments.note).run)
    service.alongside("preview_verdicts", VerdictReader(service.bus, VERDICTS, comments.tell).run)


def credentials(settings: CicdSettings) -> SecretStr | AppCredentials:
    """Who we are on the forge. Raises OSError where a file cannot be read."""
    if settings.forge_token_file is not None:
        return read_secret(settings.forge_token_file)
    app_id, installation_id = settings.github_app_id, settings.github_app_installation_id
    if app_id is None or installation_id is None or settings.github_app_private_key_file is None:
        raise ValueError("the settings of the GitHub App are not complete")
    return AppCredentials(app_id, installation_id, read_secret(settings.github_app_private_key_file))
