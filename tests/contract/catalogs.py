"""The catalog's stores as tests ask them: the twin in memory, and a real Postgres."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, Protocol
from uuid import UUID, uuid4

import psycopg

from chassis.clock import FixedClock
from chassis.database import Database
from chassis.identity import EventKey
from chassis.pulling import LogMessage
from contracts import subjects
from contracts.envelope import Event
from contracts.signals import Signal
from contracts.values import Owner
from deploy.embedded.testing_postgres import RunningPostgres
from services.catalog.adapters.memory import MemoryEventStore
from services.catalog.adapters.postgres import PostgresEventStore
from services.catalog.adapters.postgres_signals import PostgresSignals
from services.catalog.adapters.postgres_views import PostgresViews
from services.catalog.domain.records import Batch, Decision, examine, name_in, project
from services.catalog.domain.signals import SignalBatch, hear, project_signals
from services.catalog.ports import EventStore, SignalStore, Views
from tests.stories import Story

KEY = EventKey(b"k" * 32)
NOW = datetime.now(UTC)


class World(Protocol):
    """An event store and what a test can do with it."""

    @property
    def store(self) -> EventStore: ...
    @property
    def signals(self) -> SignalStore: ...
    @property
    def views(self) -> Views: ...

    def replica(self) -> EventStore:
        """Another process's view of the same store."""
        ...

    def age(self, seconds: float) -> None:
        """Let time go by, by the store's clock."""
        ...


class Twin:
    def __init__(self) -> None:
        self.clock = FixedClock(NOW)
        self.store = self.views = MemoryEventStore(self.clock)
        self.signals = self.store.signals

    def replica(self) -> EventStore:
        return self.store

    def age(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)


class Real:
    def __init__(self, postgres: RunningPostgres, database: Database) -> None:
        self._postgres = postgres
        self.database = database
        self.store = PostgresEventStore(database)
        self.signals = PostgresSignals(database)
        self.views = PostgresViews(database, FixedClock(NOW))

    def replica(self) -> EventStore:
        return PostgresEventStore(self.database)

    def age(self, seconds: float) -> None:
        interval = timedelta(seconds=seconds)
        with self.connect() as connection:
            connection.execute("UPDATE runs SET moved_at = moved_at - %s", (interval,))
            connection.execute("UPDATE decisions SET decided_at = decided_at - %s", (interval,))

    def sql(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        with self.connect("postgres") as connection:
            return connection.execute(statement).fetchall()

    def connect(self, role: str = "slipway_catalog") -> psycopg.Connection:
        connection = self._postgres.connect(role)
        connection.execute("SET search_path = catalog")
        return connection


def messages(events: Sequence[Event], first: int = 1) -> list[LogMessage]:
    return [LogMessage(n, subjects.of(event).encode(), event.to_json()) for n, event in enumerate(events, first)]


def _no_errors(event: Event, error: Exception) -> None:
    raise AssertionError(event) from error


async def built(store: EventStore, found: Sequence[LogMessage], ids: Sequence[UUID] = ()) -> Batch:
    """The batch that comes of messages on top of what the store has."""
    head, known = await store.load({name_in(one.subject) for one in found})
    return project(head, known, [examine(one, KEY.derive) for one in found], ids, on_error=_no_errors)


def decision(event: Event, cause_sequence: int, event_id: UUID | None = None) -> Decision:
    return Decision(event_id or uuid4(), cause_sequence, event.run_id, "environment_ready", subjects.of(event), b"{}")


async def stored(world: World, *stories: Story) -> None:
    """Put whole stories into the store, one after the other."""
    first = (await world.store.head()).sequence + 1
    events = [event for story in stories for event in story.events]
    assert await world.store.append(await built(world.store, messages(events, first)), [])


def by(team: str) -> Owner:
    return Owner(person="ada", team=team)


def heard(kind: type[Signal], environment: str | None, data: Mapping[str, Any], **changes: Any) -> Signal:
    """A fact about an environment."""
    return kind.model_validate(
        {
            "id": uuid4(),
            "source": "monitoring",
            "type": kind.model_fields["type"].default,
            "subject": environment,
            "time": NOW,
            "data": data,
            **changes,
        }
    )


def facts_of(signals: Sequence[Signal], first: int = 1) -> list[LogMessage]:
    """The messages in which facts travel."""
    return [
        LogMessage(number, subjects.of_signal(signal).encode(), signal.to_json())
        for number, signal in enumerate(signals, first)
    ]


async def listened(store: SignalStore, found: Sequence[LogMessage], ids: Sequence[UUID] = ()) -> SignalBatch:
    """The batch that comes of facts on top of what the store has."""
    messages = [hear(one) for one in found]
    names = {one.signal.subject for one in messages if one.signal is not None and one.signal.subject is not None}
    head, lives, facts = await store.load(names)
    return project_signals(head, lives, facts, messages, ids, on_error=_no_fact_errors)


async def told(world: World, *signals: Signal) -> None:
    """Put facts into the store."""
    first = (await world.signals.head()).sequence + 1
    assert await world.signals.append(await listened(world.signals, facts_of(signals, first)))


def _no_fact_errors(signal: Signal, error: Exception) -> None:
    raise AssertionError(signal) from error
