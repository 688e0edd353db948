"""A service whose outside world is the test's: `python -m tests.saga.twins provisioner|secrets|cicd|notifier`.

The composition is that of `benchmarks.twins`; step logs and the history of secrets are the real ones.
`SLIPWAY_WORLD_SOCKET` says where the world answers.
"""

import asyncio
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, cast

from benchmarks import twins
from chassis.failures import PermanentError, TransientError
from chassis.service import Service
from chassis.settings import ChassisSettings
from chassis.step_log import StepLog
from contracts.topology import STEPS
from contracts.values import Receipt
from services.cicd.ports import Forge
from services.notifier.ports import Messenger
from services.provisioner.ports import Applied, EnvironmentsRepository, Files, Line, Report
from services.secrets.adapters.log import LogHistory
from services.secrets.ports import Vault


class Remote:
    """One part of the world: every method is a call to it, with the same arguments, result and failures."""

    def __init__(self, socket: str, what: str) -> None:
        self._socket = socket
        self._what = what

    def __getattr__(self, method: str) -> Callable[..., Any]:
        async def call(*arguments: Any, **options: Any) -> Any:
            return (await self._call(method, *arguments, **options))[0]

        return call

    async def _call(self, method: str, *arguments: Any, **options: Any) -> tuple[Any, list[Line]]:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(pickle.dumps((self._what, method, arguments, options)))
            writer.write_eof()
            outcome, value = pickle.loads(await reader.read())  # noqa: S301 - the other end is the test
        finally:
            writer.close()
        if outcome == "permanent":
            code, message, next_step = value
            raise PermanentError(code, message, next_step=next_step)
        if outcome == "transient":
            message, delay_seconds = value
            raise TransientError(message, delay_seconds=delay_seconds)
        result, lines = value
        return result, lines


class RemoteInfrastructure(Remote):
    """The infrastructure; its lines of output come with the answer."""

    async def apply(self, environment: str, files: Files, report: Report) -> Applied:
        """See the port."""
        return cast("Applied", await self._reporting("apply", environment, files, report))

    async def destroy(self, environment: str, files: Files, report: Report) -> Receipt:
        """See the port."""
        return cast("Receipt", await self._reporting("destroy", environment, files, report))

    async def forget(self, environment: str) -> None:
        """See the port."""
        await self._call("forget", environment)

    async def _reporting(self, method: str, environment: str, files: Files, report: Report) -> object:
        result, lines = await self._call(method, environment, files)
        for line in lines:
            report(line)
        return result


def main() -> None:
    """Run one service."""
    name, socket = sys.argv[1], os.environ["SLIPWAY_WORLD_SOCKET"]
    service = Service(name, ChassisSettings())  # type: ignore[arg-type]  # one of the keys below, or a KeyError
    if name == "notifier":
        service.subscribe(twins.notifier(service, cast("Messenger", Remote(socket, "messenger"))))
        service.run()
    log = StepLog(service.bus, STEPS[service.name], service.clock)
    repository = cast("EnvironmentsRepository", Remote(socket, "repository"))
    tables: dict[str, Callable[[], twins.Table]] = {
        "provisioner": lambda: twins.provisioner(repository, RemoteInfrastructure(socket, "infrastructure"), log),
        "secrets": lambda: twins.secrets(cast("Vault", Remote(socket, "vault")), LogHistory(service.bus), log),
        "cicd": lambda: twins.cicd(cast("Forge", Remote(socket, "forge")), log),
    }
    service.subscribe(tables[name](), on_waiting=log.waiting)
    service.run()


if __name__ == "__main__":
    main()
