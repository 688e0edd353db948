"""A service whose outside world is in its memory: `python -m benchmarks.twins provisioner|secrets|cicd|notifier`.

The handlers, subscriptions and chassis are the product's; only the adapters are the twins that ship with it. So what
is measured is the platform, not Terraform, OpenBao, the forge or Slack.
"""

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from chassis.consuming import Subscription
from chassis.database import Database
from chassis.service import Service
from chassis.settings import ChassisSettings, DatabaseSettings
from services.cicd import subscriptions as cicd_table
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths as CicdGoldenPaths
from services.cicd.adapters.memory import (
    InMemoryForge,
    InMemoryGoldenPaths,
    InMemoryProgress,
    InMemoryWorkflowCheck,
)
from services.cicd.handlers import PipelineHandlers
from services.notifier import subscriptions as notifier_table
from services.notifier.adapters.memory import MemoryMessenger
from services.notifier.adapters.postgres import PostgresLedger
from services.notifier.domain import Channels
from services.notifier.handlers import Handlers as NotifierHandlers
from services.provisioner import subscriptions as provisioner_table
from services.provisioner.adapters.memory import (
    MemoryEnvironments,
    MemoryGoldenPaths,
    MemoryInfrastructure,
    MemoryStepLog,
)
from services.provisioner.domain import Platform
from services.provisioner.handlers import Handlers as ProvisionerHandlers
from services.secrets import subscriptions as secrets_table
from services.secrets.adapters.memory import MemoryHistory, MemoryJournal, MemoryVault
from services.secrets.handlers import Handlers as SecretsHandlers

GOLDEN_PATHS: Final = Path(__file__).parent.parent / "golden_paths"
Table = Sequence[Subscription[Any]]


def provisioner() -> Table:
    """Terraform and Git in memory."""
    platform = Platform("slipway.localhost", "127.0.0.1", 8015, "127.0.0.1", 8012, "apps", "http://127.0.0.1:8018")
    handlers = ProvisionerHandlers(
        repository=MemoryEnvironments(),
        infrastructure=MemoryInfrastructure(),
        golden_paths=MemoryGoldenPaths({"nodejs-api": {}}),
        step_log=MemoryStepLog(),
        platform=platform,
    )
    return provisioner_table.subscriptions(handlers)


def secrets() -> Table:
    """OpenBao in memory."""
    handlers = SecretsHandlers(vault=MemoryVault(), history=MemoryHistory(), journal=MemoryJournal())
    return secrets_table.subscriptions(handlers)


def cicd() -> Table:
    """A forge in memory."""
    published = asyncio.run(CicdGoldenPaths(GOLDEN_PATHS).find("nodejs-api"))
    handlers = PipelineHandlers(
        golden_paths=InMemoryGoldenPaths({"nodejs-api": published}),
        workflow_check=InMemoryWorkflowCheck(),
        forge=InMemoryForge(),
        progress=InMemoryProgress(),
        platform_url="http://127.0.0.1:8000",
    )
    return cicd_table.subscriptions(handlers)


def main() -> None:
    """Run one service with its twins."""
    name = sys.argv[1]
    if name == "notifier":
        _run_notifier()
    tables = {"provisioner": provisioner, "secrets": secrets, "cicd": cicd}
    service = Service(name, ChassisSettings())  # type: ignore[arg-type]  # one of the keys above, or a KeyError
    service.subscribe(tables[name]())
    service.run()


def _run_notifier() -> None:
    service = Service("notifier", ChassisSettings())
    database = Database(DatabaseSettings(), application_name="notifier")

    async def prepare() -> None:
        await database.open()
        await database.migrate(files("services.notifier.adapters.schema"))

    service.prepare(prepare)
    service.at_close(database.close)
    handlers = NotifierHandlers(
        ledger=PostgresLedger(database),
        messenger=MemoryMessenger(service.clock),
        channels=Channels("#deployments", {}),
        clock=service.clock,
        platform_url="http://127.0.0.1:8000",
        stale_after=timedelta(days=1),
    )
    service.subscribe(notifier_table.subscriptions(handlers))
    service.run()


if __name__ == "__main__":
    main()
