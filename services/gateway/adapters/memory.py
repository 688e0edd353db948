"""Twins of the stores, the golden paths and the dead letters, for tests and rehearsals: they keep state and keep the
same promises. The twin of everything that is on the log is `memory_log.MemoryLog`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from contracts.golden_path import GoldenPath
from services.gateway.domain.refusals import RecordedRefusal
from services.gateway.domain.requests import AcceptedRequest
from services.gateway.domain.tokens import ApiToken
from services.gateway.ports import DeadLetter, Unconfirmed


@dataclass
class MemoryRequests:
    """Twin of `ports.RequestStore`."""

    rows: dict[UUID, AcceptedRequest] = field(default_factory=dict)

    async def find(self, principal: str, key: str) -> AcceptedRequest | None:
        """See the port."""
        return next((row for row in self.rows.values() if (row.principal, row.key) == (principal, key)), None)

    async def claim(self, request: AcceptedRequest) -> AcceptedRequest:
        """See the port."""
        earlier = await self.find(request.principal, request.key)
        return earlier if earlier is not None else self._keep(request)

    async def accept(self, request: AcceptedRequest, sequence: int) -> AcceptedRequest:
        """See the port."""
        return self._keep(replace(self._row(request), state="accepted", sequence=sequence, refusal=None))

    async def refuse(self, request: AcceptedRequest, refusal: RecordedRefusal) -> AcceptedRequest:
        """See the port."""
        row = self._row(request)
        return row if row.confirmed else self._keep(replace(row, state="refused", refusal=refusal))

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
