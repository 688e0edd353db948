"""What a saga test does: ask through the gateway's API, read the log, look at the world, kill and revive processes.

Nothing here sleeps for a time: every wait is for a condition, with a deadline.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import httpx

from benchmarks.stage import ServiceProcess, Stage
from chassis.bus import Bus
from chassis.failures import TransientError
from chassis.identity import EventKey
from chassis.pulling import LogMessage, read
from contracts import subjects
from contracts.envelope import Event
from contracts.events import EnvironmentDeleted, EnvironmentFailed, EnvironmentReady, parse
from tests.saga.world import World
from tests.waiting import patiently, until

API: Final = "/api/v1"
VERDICTS: Final = (EnvironmentReady, EnvironmentFailed, EnvironmentDeleted)
CREATED: Final = (
    "environment_requested",
    "infra_ready",
    "secrets_stored",
    "pipeline_created",
    "environment_ready",
)
ROAD_BACK: Final = {
    "infra": ("infra_failed", "infra_destroyed", "environment_failed"),
    "secrets": ("secrets_failed", "secrets_revoked", "infra_destroyed", "environment_failed"),
    "pipeline": (
        "pipeline_failed",
        "pipeline_removed",
        "secrets_revoked",
        "infra_destroyed",
        "environment_failed",
    ),
}
"""By the step that fails, what is said from the failure on."""
DELETED: Final = (
    "environment_deletion_requested",
    "pipeline_removed",
    "secrets_revoked",
    "infra_destroyed",
    "environment_deleted",
)
EVERYTHING: Final = frozenset(
    {
        *("namespace", "dns_record", "route", "database", "directory"),
        *("secret", "policy", "workload_role", "database_role", "access_group"),
        "repository",
    }
)
"""The kinds of things that exist because of an environment that is ready."""


def failed_at(step: str) -> tuple[str, ...]:
    """The kinds of events, in order, of a creation of which `step` failed for good."""
    done = CREATED[: 1 + list(ROAD_BACK).index(step)]
    return (*done, *ROAD_BACK[step])


@dataclass
class Log:
    """A copy of the stream, as far as it was read."""

    messages: list[LogMessage] = field(default_factory=list)

    async def read_on(self, bus: Bus) -> None:
        """Read what has come since."""
        while new := await read(bus, subjects.ENVIRONMENTS, len(self.messages) + 1, 500):
            self.messages += new

    def events(self, environment: str) -> list[Event]:
        """The events of an environment, in order."""
        prefix = f"environment.{environment}.".encode()
        return [parse(message.body) for message in self.messages if message.subject.startswith(prefix)]

    def verdicts(self, run_ids: Iterable[UUID]) -> dict[UUID, Event]:
        """The verdicts on these runs that there are."""
        kinds = tuple(kind.kind.encode() for kind in VERDICTS)
        found = [parse(message.body) for message in self.messages if message.subject.endswith(kinds)]
        wanted = set(run_ids)
        return {event.run_id: event for event in found if event.run_id in wanted}


@dataclass
class Driver:
    """Everything a test needs, for one event loop."""

    on: Stage[Any]
    world: World
    traces_url: str
    log: Log
    http: httpx.AsyncClient
    bus: Bus
    """With the rights of the provisioning job: it may read and store anything."""
    key: EventKey

    # -- asking --------------------------------------------------------------------------------------------------------

    def name(self, *words: str) -> str:
        """A name nobody has had; the words choose its trouble (see `tests.saga.world`)."""
        return "-".join((*words, f"x{uuid4().hex[:8]}"))

    async def create(self, name: str, *, key: str | None = None) -> UUID:
        """Ask for an environment; answers the run. As a careful client does, it asks again with the same key where
        there was no answer."""
        accepted = await self._ask("POST", "/environments", key, json={"name": name, "golden_path": "nodejs-api"})
        return UUID(accepted["run"]["id"])

    async def delete(self, name: str) -> UUID:
        """Ask for an environment to be taken away; answers the run."""
        return UUID((await self._ask("DELETE", f"/environments/{name}", None))["run"]["id"])

    async def _ask(self, method: str, path: str, key: str | None, **options: Any) -> dict[str, Any]:
        headers = {"Idempotency-Key": key or uuid4().hex}

        async def answer() -> httpx.Response | None:
            try:
                found = await self.http.request(method, f"{API}{path}", headers=headers, **options)
            except httpx.TransportError:
                return None
            return found if found.status_code != 503 else None

        found = await until(answer, within_seconds=60, what=f"an answer to {method} {path}")
        assert found.status_code == 202, found.text
        accepted: dict[str, Any] = found.json()
        return accepted

    async def get(self, path: str) -> dict[str, Any]:
        """What the API answers to a GET."""
        found = await self.http.get(f"{API}{path}")
        assert found.status_code == 200, found.text
        answer: dict[str, Any] = found.json()
        return answer

    async def settled(self, path: str, *states: str) -> dict[str, Any]:
        """What the API answers once its state is one of these."""

        async def there() -> dict[str, Any] | None:
            found = await self.get(path)
            return found if found["state"] in states else None

        return await until(there, what=f"{path} in one of the states {states}")

    async def messages_of(self, run_id: UUID) -> list[tuple[str, dict[str, Any]]]:
        """Every message of a run's live stream, to its end: name and data."""
        found: list[tuple[str, dict[str, Any]]] = []
        async with asyncio.timeout(120), self.http.stream("GET", f"{API}/runs/{run_id}/stream") as answer:
            assert answer.status_code == 200
            name = ""
            async for line in answer.aiter_lines():
                if line.startswith("event:"):
                    name = line.removeprefix("event:").strip()
                elif line.startswith("data:"):
                    found.append((name, json.loads(line.removeprefix("data:"))))
        return found

    # -- reading the log -----------------------------------------------------------------------------------------------

    async def events(self, name: str) -> list[Event]:
        """The history of a name so far."""
        await self.log.read_on(self.bus)
        return self.log.events(name)

    async def verdict(self, run_id: UUID, *, within_seconds: float = 60) -> Event:
        """How a run ended."""
        return (await self.verdicts([run_id], within_seconds=within_seconds))[run_id]

    async def verdicts(self, run_ids: Sequence[UUID], *, within_seconds: float = 60) -> dict[UUID, Event]:
        """How these runs ended, once all have."""

        async def all_ended() -> dict[UUID, Event] | None:
            try:
                await self.log.read_on(self.bus)
            except TransientError:
                return None  # the bus is away
            found = self.log.verdicts(run_ids)
            return found if len(found) == len(run_ids) else None

        return await until(all_ended, within_seconds=within_seconds, what=f"the end of {len(run_ids)} runs")

    async def progress(self, events: int) -> None:
        """Return when so many more events are on the log."""
        await self.log.read_on(self.bus)
        goal = len(self.log.messages) + events

        async def reached() -> bool:
            await patiently(lambda: self.log.read_on(self.bus))
            return len(self.log.messages) >= goal

        await until(reached, what=f"{events} more events")

    async def store(self, subject: str, body: bytes, *, stream: str = subjects.ENVIRONMENTS) -> int:
        """Put a message on the bus under an id of its own, as beyond the window for duplicates; answers its
        sequence."""
        return (await self.bus.publish(subject, body, stream=stream, message_id=uuid4().hex)).sequence

    async def dead_letter(self, service: str, subject: str) -> dict[str, str]:
        """The headers of the letter that a service laid aside for this subject."""

        async def there() -> dict[str, str] | None:
            found = await self.bus.last(subjects.DEAD_LETTERS, subjects.dead_letter(service, subject))
            return found.headers if found is not None else None

        return await until(there, what=f"a dead letter of {service} for {subject}")

    async def quiet(self) -> None:
        """Return when every durable has delivered everything and everything is acknowledged."""

        async def idle() -> bool:
            for stream in (subjects.ENVIRONMENTS, subjects.REPLAYS):
                for found in await self.bus.jetstream.consumers_info(stream):
                    if found.num_pending or found.num_ack_pending:
                        return False
            return True

        await until(idle, within_seconds=120, what="a quiet bus")
        await self.log.read_on(self.bus)

    # -- breaking ------------------------------------------------------------------------------------------------------

    def service(self, name: str) -> ServiceProcess:
        """The process of a service."""
        return self.on.services[name]

    async def ready(self, *names: str) -> None:
        """Return when these services (or all) say that they can work. Raises as `Part.wait_ready`."""
        for service in [self.service(name) for name in names] or self.on.services.values():
            await asyncio.to_thread(service.wait_ready)

    # -- judging -------------------------------------------------------------------------------------------------------

    def check_chain(self, events: Sequence[Event], kinds: Sequence[str]) -> None:
        """One run: these kinds in this order, each caused by the one before, each id derived from its cause."""
        assert [event.kind for event in events] == list(kinds)
        assert [event.causation_id for event in events[1:]] == [event.id for event in events[:-1]]
        assert [event.id for event in events] == [self.key.derive(event.causation_id, event.kind) for event in events]
        first = events[0]
        assert {(event.run_id, event.correlation_id) for event in events} == {(first.id, first.id)}
        assert len({event.incarnation for event in events}) == 1

    async def check_once(self, names: Iterable[str]) -> None:
        """Every event of these names is there once, every effect happened once, every verdict was told once, and what
        exists is what the verdict says."""
        await self.quiet()
        for name in names:
            events = self.log.events(name)
            assert _repeated(event.id for event in events) == set(), name
            assert _repeated((event.run_id, event.kind) for event in events) == set(), name
            verdicts = [event for event in events if isinstance(event, VERDICTS)]
            assert len(verdicts) == len({event.run_id for event in events}), name
            assert sorted(self.world.messages[name]) == sorted(str(event.id) for event in verdicts), name
            assert {thing for thing, times in self.world.made.items() if thing[0] == name and times > 1} == set()
            expected = EVERYTHING if isinstance(events[-1], EnvironmentReady) else frozenset()
            assert self.world.holdings(name) == expected, name


def _repeated(things: Iterable[object]) -> set[object]:
    return {thing for thing, times in Counter(things).items() if times > 1}
