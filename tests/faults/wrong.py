"""The code of the deliberate bugs: each function makes one thing go wrong in the process that calls it.

Only `tests.faults.process` imports this, in a process that was started to be wrong. The names are those of the table in
`tests.faults.bugs`.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from chassis import consuming
from chassis.bus import Bus
from chassis.consuming import Consumer
from chassis.looking import Sight
from chassis.publishing import Publisher
from contracts import subjects
from contracts.events import EnvironmentReady, Undone
from contracts.values import Receipt
from services.catalog.domain import records
from services.catalog.handlers.folding import Handlers as CatalogHandlers
from services.gateway.adapters.postgres import PostgresRequests
from services.notifier.handlers import Handlers as NotifierHandlers
from services.provisioner.adapters.infrastructure import TerraformInfrastructure
from services.provisioner.handlers import Handlers as ProvisionerHandlers
from services.provisioner.ports import Committed
from services.secrets import domain
from services.secrets.adapters.vault import OpenBaoVault
from services.secrets.handlers import Handlers as SecretsHandlers


def replace(owner: object, name: str, wrong: object) -> None:
    """Put something wrong in the place of something right."""
    setattr(owner, name, wrong)


def ack_before_effect() -> None:
    """The message is acknowledged before anything was done about it."""
    carry_out = Consumer._carry_out

    async def hasty(self: Any, row: Any, event: Any, raw: Any) -> str:
        await raw.ack_sync()
        return await carry_out(self, row, event, raw)

    replace(Consumer, "_carry_out", hasty)


def underived_id() -> None:
    """An event gets an id of its own instead of one that follows from its cause."""
    compose = Publisher.compose

    def careless(self: Any, kind: Any, data: Any, because: Any) -> Any:
        return compose(self, kind, data, because).model_copy(update={"id": uuid4()})

    replace(Publisher, "compose", careless)


def skipped_undo() -> None:
    """The secrets service says that it revoked everything, and does nothing."""

    async def lazy(_: SecretsHandlers, event: Any) -> Undone:
        return Undone(spec=event.data.spec, previous=event.data.previous, receipt=Receipt())

    replace(SecretsHandlers, "undo", lazy)


def skipped_look() -> None:
    """Nobody looks at the log before the effect, so what was undone is made again."""

    async def blind(bus: Any, _key: Any, event: Any, *_: Any, **__: Any) -> Sight:
        newest = await bus.last(subjects.ENVIRONMENTS, subjects.every_event_of(event.subject))
        return Sight("go on", newest.seq if newest is not None else 0)

    replace(consuming, "look", blind)


def told_twice() -> None:
    """The team is told of the same verdict twice."""
    send = NotifierHandlers._send

    async def eager(self: Any, notification: Any, entry: Any, event: Any) -> str:
        await send(self, notification, entry, event)
        return await send(self, notification, entry, event)

    replace(NotifierHandlers, "_send", eager)


def secret_in_event() -> None:
    """The values of the secret stand among its names in the event."""
    make, say = domain.application_secret, domain.secrets_of
    made: list[str] = []

    def remembering() -> Any:
        values = make()
        made.extend(value.get_secret_value() for value in values.values())
        return values

    def talkative(names: Any, stored: Any, *, with_database: bool) -> Any:
        said = say(names, stored, with_database=with_database)
        return said.model_copy(update={"names": (*said.names, *made)})

    replace(domain, "application_secret", remembering)
    replace(domain, "secrets_of", talkative)


def secret_in_log() -> None:
    """The values of the secret are logged."""
    make = domain.application_secret

    def talkative() -> Any:
        values = make()
        sys.stderr.write(f"made {[value.get_secret_value() for value in values.values()]}\n")
        return values

    replace(domain, "application_secret", talkative)


def record_left_behind() -> None:
    """Terraform's record of what was destroyed stays."""

    async def forgetful(*_: Any) -> None:
        """Forgets to forget."""

    replace(TerraformInfrastructure, "forget", forgetful)


def lease_not_revoked() -> None:
    """Logins that were given out go on working."""

    async def lazy(*_: Any) -> None:
        """Revokes nothing."""

    replace(OpenBaoVault, "revoke_leases", lazy)


def commit_missing() -> None:
    """Terraform applies what was never committed."""

    async def unwritten(_: Any, _name: str, files: Any, *__: Any) -> Committed:
        return Committed("0" * 40, files)

    replace(ProvisionerHandlers, "_commit", unwritten)


def verdict_without_a_run() -> None:
    """The verdict is on a run that nobody asked for."""
    decide = CatalogHandlers._decision

    def confused(self: Any, verdict: Any, cause: Any, *rest: Any) -> Any:
        stray = cause.model_copy(update={"run_id": uuid4()})
        return decide(self, verdict, stray, *rest)

    replace(CatalogHandlers, "_decision", confused)


def forgotten_fold() -> None:
    """The catalog counts the verdict and shows nothing of it."""
    fold = vars(records)["fold"]

    def lossy(known: Any, event: Any, sequence: int) -> Any:
        after = fold(known, event, sequence)
        if not isinstance(event, EnvironmentReady) or after is None or known is None:
            return after
        view = after.environment.model_copy(update={"state": known.environment.state})
        return dataclasses.replace(after, environment=view)

    replace(records, "fold", lossy)


def said_twice() -> None:
    """Every event is said a second time, under another message id."""
    publish = Bus.publish

    async def stammering(self: Any, subject: str, body: bytes, **options: Any) -> Any:
        stored = await publish(self, subject, body, **options)
        await publish(self, subject, body, **(options | {"message_id": uuid4().hex, "expect": None}))
        return stored

    replace(Bus, "publish", stammering)


def never_confirmed() -> None:
    """The gateway never learns that its requests are safe."""

    async def deaf(*_: Any) -> None:
        """Confirms nothing."""

    replace(PostgresRequests, "confirm", deaf)


def stray_process() -> None:
    """A child is started and never waited for."""
    provision = ProvisionerHandlers.provision

    async def careless(self: Any, event: Any) -> Any:
        subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220 - that is the bug
        return await provision(self, event)

    replace(ProvisionerHandlers, "provision", careless)


def trace_broken() -> None:
    """What is said carries another trace than what was heard."""
    compose = Publisher.compose

    def careless(self: Any, kind: Any, data: Any, because: Any) -> Any:
        fresh = f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"
        return compose(self, kind, data, because).model_copy(update={"traceparent": fresh})

    replace(Publisher, "compose", careless)


INSTALLERS: Final[dict[str, Callable[[], None]]] = {
    "ack-before-effect": ack_before_effect,
    "underived-id": underived_id,
    "skipped-undo": skipped_undo,
    "skipped-look": skipped_look,
    "told-twice": told_twice,
    "secret-in-event": secret_in_event,
    "secret-in-log": secret_in_log,
    "record-left-behind": record_left_behind,
    "lease-not-revoked": lease_not_revoked,
    "commit-missing": commit_missing,
    "verdict-without-a-run": verdict_without_a_run,
    "forgotten-fold": forgotten_fold,
    "said-twice": said_twice,
    "never-confirmed": never_confirmed,
    "stray-process": stray_process,
    "trace-broken": trace_broken,
}
