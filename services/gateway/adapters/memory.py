"""Twins of the stores, the golden paths and the dead letters, for tests and rehearsals: they keep state and keep the
same promises. The twin of everything that is on the log is `memory_log.MemoryLog`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from chassis.failures import TransientError
from contracts.golden_path import GoldenPath
from contracts.plans import CommittedState, Plan, PlannedChange
from contracts.signals import Signal
from contracts.values import EnvironmentSpec
from services.gateway.domain.policy import Place, Room, Usage, usage_of
from services.gateway.domain.refusals import RecordedRefusal
from services.gateway.domain.requests import AcceptedRequest
from services.gateway.domain.tokens import ApiToken
from services.gateway.ports import DeadLetter, FullError, TakenPlace, TraceSpan, Unconfirmed


@dataclass
class MemoryPlaces:
    """Twin of `ports.PlaceStore`; `MemoryRequests` takes and frees."""

    rows: dict[UUID, tuple[str, Place]] = field(default_factory=dict)
    """By incarnation: the environment's name, and its place."""
    sequences: dict[UUID, int | None] = field(default_factory=dict)
    """Of the lives that were asked for here."""

    def take(self, request: AcceptedRequest, room: Room) -> None:
        """What Postgres does within a claim. Raises `FullError`."""
        before = self.rows.get(request.incarnation)
        for usage in self._usage(room, request.environment):
            if usage.limit is None:
                continue
            if usage.what == "cost_per_month":
                cost = room.place.cost_per_month
                if usage.used + cost > usage.limit and (before is None or cost > before[1].cost_per_month):
                    raise FullError(usage)
            elif usage.used >= usage.limit:
                raise FullError(usage)
        place = room.place if before is None else replace(before[1], cost_per_month=room.place.cost_per_month)
        self.rows[request.incarnation] = (request.environment, place)
        if request.operation == "create":
            self.sequences[request.incarnation] = None

    async def taken(self, *, team: str | None = None, repository: str | None = None) -> list[TakenPlace]:
        """See the port."""
        found = [
            (incarnation, environment, place)
            for incarnation, (environment, place) in self.rows.items()
            if team in {None, place.team} and (repository is None or _is_preview_of(place, repository))
        ]
        return [
            TakenPlace(incarnation, environment, place, self.sequences.get(incarnation, 0))
            for incarnation, environment, place in found
        ]

    async def usage(self, room: Room, environment: str) -> list[Usage]:
        """See the port."""
        return self._usage(room, environment)

    def _usage(self, room: Room, environment: str) -> list[Usage]:
        others = [(name, place) for name, place in self.rows.values() if name != environment]
        team = [(name, place) for name, place in others if place.team == room.place.team]
        costs: dict[str, Decimal] = {}
        for name, place in team:
            costs[name] = max(costs.get(name, Decimal(0)), place.cost_per_month)
        previews = {name for name, place in others if _is_preview_of(place, room.place.repository)}
        return [
            usage_of(room, "environments", Decimal(len(costs))),
            usage_of(room, "previews_of_repository", Decimal(len(previews))),
            usage_of(room, "cost_per_month", sum(costs.values(), Decimal(0))),
        ]

    async def release(self, incarnations: Sequence[UUID]) -> None:
        """See the port."""
        for incarnation in incarnations:
            self.rows.pop(incarnation, None)

    async def note(self, places: Sequence[TakenPlace]) -> None:
        """See the port."""
        for taken in places:
            self.rows[taken.incarnation] = (taken.environment, taken.place)


def _is_preview_of(place: Place, repository: str) -> bool:
    return place.kind == "preview" and place.repository == repository


@dataclass
class MemoryRequests:
    """Twin of `ports.RequestStore`."""

    rows: dict[UUID, AcceptedRequest] = field(default_factory=dict)
    places: MemoryPlaces = field(default_factory=MemoryPlaces)

    async def find(self, principal: str, key: str) -> AcceptedRequest | None:
        """See the port."""
        return next((row for row in self.rows.values() if (row.principal, row.key) == (principal, key)), None)

    async def claim(self, request: AcceptedRequest, room: Room | None = None) -> AcceptedRequest:
        """See the port."""
        earlier = await self.find(request.principal, request.key)
        if earlier is not None:
            return earlier
        if room is not None:
            self.places.take(request, room)
        return self._keep(request)

    async def accept(self, request: AcceptedRequest, sequence: int) -> AcceptedRequest:
        """See the port."""
        if request.operation == "create":
            self.places.sequences[request.event_id] = sequence
        return self._keep(replace(self._row(request), state="accepted", sequence=sequence, refusal=None))

    async def refuse(self, request: AcceptedRequest, refusal: RecordedRefusal) -> AcceptedRequest:
        """See the port."""
        row = self._row(request)
        if row.confirmed:
            return row
        if row.operation == "create":
            self.places.rows.pop(row.incarnation, None)
        return self._keep(replace(row, state="refused", refusal=refusal))

    async def confirm(self, event_ids: Sequence[UUID]) -> None:
        """See the port."""
        for row in list(self.rows.values()):
            if row.event_id in event_ids:
                self._keep(replace(row, confirmed=True))

    async def unconfirmed(self, limit: int) -> list[Unconfirmed]:
        """See the port."""
        found = [row for row in self._oldest_first() if not row.confirmed and row.state != "refused"]
        return [Unconfirmed(row.event_id, row.state == "pending", row.requested_at) for row in found[:limit]]

    async def with_events(self, event_ids: Sequence[UUID]) -> list[AcceptedRequest]:
        """See the port."""
        return [row for row in self._oldest_first() if row.event_id in event_ids]

    def _oldest_first(self) -> list[AcceptedRequest]:
        return sorted(self.rows.values(), key=lambda row: (row.requested_at, row.id))

    async def floor(
        self, *, environment: str | None = None, event_id: UUID | None = None, principal: str | None = None
    ) -> int:
        """See the port."""
        return max(
            (
                row.sequence or 0
                for row in self.rows.values()
                if row.state == "accepted"
                and not row.confirmed
                and environment in {None, row.environment}
                and event_id in {None, row.event_id}
                and principal in {None, row.principal}
            ),
            default=0,
        )

    def _row(self, request: AcceptedRequest) -> AcceptedRequest:
        if request.id not in self.rows:
            raise LookupError(f"there is no request {request.id}")
        return self.rows[request.id]

    def _keep(self, row: AcceptedRequest) -> AcceptedRequest:
        self.rows[row.id] = row
        return row


@dataclass
class MemoryTokens:
    """Twin of `ports.TokenStore`."""

    tokens: dict[str, ApiToken] = field(default_factory=dict)

    async def find(self, token_id: str) -> ApiToken | None:
        """See the port."""
        return self.tokens.get(token_id)

    async def add(self, token: ApiToken) -> bool:
        """See the port."""
        return self.tokens.setdefault(token.id, token) is token

    async def all(self, person: str | None) -> list[ApiToken]:
        """See the port."""
        found = [token for token in self.tokens.values() if person in {None, token.person}]
        return sorted(sorted(found, key=lambda t: t.id), key=lambda t: t.created_at, reverse=True)

    async def revoke(self, token_id: str, at: datetime) -> None:
        """See the port."""
        token = self.tokens.get(token_id)
        if token is not None and token.revoked_at is None:
            self.tokens[token_id] = replace(token, revoked_at=at)


@dataclass
class MemoryPlanner:
    """Twin of `ports.Planner`: a plan is what it was told, and its hash follows from that and from what is wanted."""

    changes: tuple[PlannedChange, ...] = ()
    asked: list[tuple[EnvironmentSpec, UUID | None]] = field(default_factory=list)
    away: bool = False

    async def plan(self, spec: EnvironmentSpec, incarnation: UUID | None) -> Plan:
        """See the port."""
        if self.away:
            raise TransientError("nobody answers")
        self.asked.append((spec, incarnation))
        mark = hashlib.sha256(f"{spec.model_dump_json()} {incarnation} {self.changes}".encode())
        return Plan(changes=self.changes, hash=mark.hexdigest())


@dataclass
class MemoryRepository:
    """Twin of `ports.Repository`."""

    committed: dict[str, CommittedState] = field(default_factory=dict)
    away: bool = False

    async def desired_state(self, environment: str) -> CommittedState:
        """See the port."""
        if self.away:
            raise TransientError("nobody answers")
        return self.committed.get(environment, CommittedState())


@dataclass
class MemoryDeliveries:
    """Twin of `ports.Deliveries`."""

    heard: set[str] = field(default_factory=set)

    async def is_known(self, delivery: str) -> bool:
        """See the port."""
        return delivery in self.heard

    async def note(self, delivery: str) -> None:
        """See the port."""
        self.heard.add(delivery)


@dataclass
class MemoryGoldenPaths:
    """Twin of `ports.GoldenPaths`."""

    paths: list[GoldenPath] = field(default_factory=list)

    async def all(self) -> list[GoldenPath]:
        """See the port."""
        return sorted(self.paths, key=lambda path: path.name)

    async def find(self, name: str) -> GoldenPath | None:
        """See the port."""
        return next((path for path in self.paths if path.name == name), None)


@dataclass
class MemoryDeadLetters:
    """Twin of `ports.DeadLetters`."""

    letters: list[DeadLetter] = field(default_factory=list)
    replayed: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    """By message id: what was sent back, and by whom."""

    async def page(self, before: int | None, limit: int) -> list[DeadLetter]:
        """See the port."""
        newest_first = sorted(self.letters, key=lambda letter: -letter.sequence)
        return [letter for letter in newest_first if before is None or letter.sequence < before][:limit]

    async def find(self, sequence: int) -> DeadLetter | None:
        """See the port."""
        return next((letter for letter in self.letters if letter.sequence == sequence), None)

    async def replay(self, letter: DeadLetter, message_id: str, by: str) -> int:
        """See the port."""
        self.replayed.setdefault(message_id, (letter.body, by))
        return list(self.replayed).index(message_id) + 1


@dataclass
class MemorySignals:
    """Twin of `ports.Signals`."""

    said: dict[UUID, Signal] = field(default_factory=dict)
    """By id; the first one counts."""
    away: bool = False

    async def say(self, signal: Signal) -> None:
        """See the port."""
        if self.away:
            raise TransientError("the bus is away")
        self.said.setdefault(signal.id, signal)


@dataclass
class MemoryTraces:
    """Twin of `ports.Traces`."""

    kept: dict[str, tuple[TraceSpan, ...]] = field(default_factory=dict)
    away: bool = False

    async def spans(self, trace_id: str) -> tuple[TraceSpan, ...]:
        """See the port."""
        if self.away:
            raise TransientError("the trace store is away")
        return self.kept.get(trace_id, ())
