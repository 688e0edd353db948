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
from services.cicd.ports import Conversations, Forge
from services.notifier.ports import Messenger
from services.provisioner.ports import EnvironmentsRepository, Infrastructure
from services.secrets.adapters.log import LogHistory
from services.secrets.ports import Vault
from tests.saga.world import REPORT


class Remote:
    """One part of the world: every method is a call to it, with the same arguments, result and failures. A function
    among the arguments hears, once the call is over, what was reported to it."""

    def __init__(self, socket: str, what: str) -> None:
        self._socket = socket
        self._what = what

    def __getattr__(self, method: str) -> Callable[..., Any]:
        async def call(*arguments: Any, **options: Any) -> Any:
            given = [*arguments, *options.values()]
            hear = next((one for one in given if callable(one)), None)
            sent = tuple(REPORT if one is hear and hear else one for one in arguments)
            named = {name: REPORT if one is hear and hear else one for name, one in options.items()}
            result, lines = await self._call(method, sent, named)
            if hear is not None:
                for line in lines:
                    hear(line)
            return result

        return call

    async def _call(self, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, list[object]]:
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


def main() -> None:
    """Run one service."""
    name, socket = sys.argv[1], os.environ["SLIPWAY_WORLD_SOCKET"]
    service = Service(name, ChassisSettings())  # type: ignore[arg-type]  # one of the keys below, or a KeyError
    if name == "notifier":
        service.subscribe(twins.notifier(service, cast("Messenger", Remote(socket, "messenger"))))
        service.run()
    log = StepLog(service.bus, STEPS[service.name], service.clock)
    tables: dict[str, Callable[[], twins.Table]] = {
        "provisioner": lambda: twins.provisioner(
            cast("EnvironmentsRepository", Remote(socket, "repository")),
            cast("Infrastructure", Remote(socket, "infrastructure")),
            log,
        ),
        "secrets": lambda: twins.secrets(cast("Vault", Remote(socket, "vault")), LogHistory(service.bus), log),
        "cicd": lambda: twins.cicd(
            service, cast("Forge", Remote(socket, "forge")), cast("Conversations", Remote(socket, "forge")), log
        ),
    }
    service.subscribe(tables[name](), on_waiting=log.waiting)
    service.run()


if __name__ == "__main__":
    main()
