"""A service whose outside world is in its memory: `python -m benchmarks.twins provisioner|secrets|cicd|notifier`.

The handlers, subscriptions and chassis are the product's; only the adapters are the twins that ship with it. So what
is measured is the platform, not Terraform, OpenBao, the forge or Slack.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from chassis.consuming import Subscription
from chassis.database import Database
from chassis.service import Service
from chassis.settings import ChassisSettings, DatabaseSettings
from chassis.signing import SigningKey
from services.cicd import subscriptions as cicd_table
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths as CicdGoldenPaths
from services.cicd.adapters.memory import (
    InMemoryForge,
    InMemoryGoldenPaths,
    InMemoryProgress,
    InMemoryWorkflowCheck,
)
from services.cicd.app import follow_previews
from services.cicd.handlers import PipelineHandlers
from services.cicd.handlers.commenting import PreviewComments
from services.cicd.ports import Conversations, Forge, Progress
from services.notifier import subscriptions as notifier_table
from services.notifier.adapters import schema
from services.notifier.adapters.memory import MemoryMessenger
from services.notifier.adapters.postgres import PostgresLedger
from services.notifier.adapters.postgres_webhooks import PostgresWebhooks
from services.notifier.adapters.receivers import HttpReceivers
from services.notifier.app import pass_on, webhooks
from services.notifier.domain import Channels
from services.notifier.handlers import Handlers as NotifierHandlers
from services.notifier.handlers.subscribing import Directory
from services.notifier.ports import Listener, Messenger
from services.provisioner import subscriptions as provisioner_table
from services.provisioner.adapters.memory import (
    MemoryEnvironments,
    MemoryGoldenPaths,
    MemoryInfrastructure,
    MemoryStepLog,
)
from services.provisioner.domain import Platform
from services.provisioner.handlers import Handlers as ProvisionerHandlers
from services.provisioner.ports import EnvironmentsRepository, Infrastructure
from services.provisioner.ports import StepLog as ProvisionerLog
from services.secrets import subscriptions as secrets_table
from services.secrets.adapters.memory import MemoryHistory, MemoryJournal, MemoryVault
from services.secrets.handlers import Handlers as SecretsHandlers
from services.secrets.ports import History, Journal, Vault

GOLDEN_PATHS: Final = Path(__file__).parent.parent / "golden_paths"
GOLDEN_PATH: Final = "nodejs-api"
Table = Sequence[Subscription[Any]]


def provisioner(repository: EnvironmentsRepository, infrastructure: Infrastructure, step_log: ProvisionerLog) -> Table:
    """The provisioner's table, with whatever stands for Git and Terraform."""
    platform = Platform("slipway.localhost", "127.0.0.1", 8015, "127.0.0.1", 8012, "apps", "http://127.0.0.1:8018")
    handlers = ProvisionerHandlers(
        repository=repository,
        infrastructure=infrastructure,
        golden_paths=MemoryGoldenPaths({GOLDEN_PATH: {}}),
        step_log=step_log,
        platform=platform,
    )
    return provisioner_table.subscriptions(handlers)


def secrets(vault: Vault, history: History, journal: Journal) -> Table:
    """The secrets service's table, with whatever stands for OpenBao."""
    return secrets_table.subscriptions(SecretsHandlers(vault=vault, history=history, journal=journal))


def cicd(service: Service, forge: Forge, conversations: Conversations, progress: Progress) -> Table:
    """The cicd service's table, with whatever stands for the forge."""
    follow_previews(service, PreviewComments(forge, conversations, service.key, "http://127.0.0.1:8000"))
    published = asyncio.run(CicdGoldenPaths(GOLDEN_PATHS).find(GOLDEN_PATH))
    handlers = PipelineHandlers(
        golden_paths=InMemoryGoldenPaths({GOLDEN_PATH: published}),
        workflow_check=InMemoryWorkflowCheck(),
        forge=forge,
        progress=progress,
        platform_url="http://127.0.0.1:8000",
    )
    return cicd_table.subscriptions(handlers)


def notifier(service: Service, messenger: Messenger) -> Table:
    """The notifier's table, with whatever stands for Slack; its ledger is the real one."""
    database = Database(DatabaseSettings(), application_name="notifier")

    async def prepare() -> None:
        await database.open()
        await database.require(schema.NEEDS)

    service.checks["database"] = database.check
    service.prepare(prepare)
    service.at_close(database.close)
    handlers = NotifierHandlers(
        ledger=PostgresLedger(database),
        messenger=messenger,
        channels=Channels("#deployments", {}),
        clock=service.clock,
        platform_url="http://127.0.0.1:8000",
        stale_after=timedelta(days=1),
    )
    receivers = HttpReceivers()
    service.at_close(receivers.close)
    directory = Directory(PostgresWebhooks(database))
    listeners: list[Listener] = [webhooks(service, directory, receivers, SigningKey(bytes(32)), handlers)]
    pass_on(service, listeners, directory.refresh)
    return notifier_table.subscriptions(handlers)


def main() -> None:
    """Run one service with its twins."""
    name = sys.argv[1]
    service = Service(name, ChassisSettings())  # type: ignore[arg-type]  # one of the keys below, or a KeyError
    forge = InMemoryForge()
    tables: dict[str, Callable[[], Table]] = {
        "provisioner": lambda: provisioner(MemoryEnvironments(), MemoryInfrastructure(), MemoryStepLog()),
        "secrets": lambda: secrets(MemoryVault(), MemoryHistory(), MemoryJournal()),
        "cicd": lambda: cicd(service, forge, forge, InMemoryProgress()),
        "notifier": lambda: notifier(service, MemoryMessenger(service.clock)),
    }
    service.subscribe(tables[name]())
    service.run()


if __name__ == "__main__":
    main()
