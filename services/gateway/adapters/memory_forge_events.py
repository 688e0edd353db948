"""Twins of what GitHub told, and of who is a member."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.gateway.adapters.memory import MemoryTokens
from services.gateway.adapters.memory_sessions import MemorySessions
from services.gateway.domain.forge_events import DeploymentTold, KnownPull, PullAsk, line_of
from services.gateway.domain.people import Principal, member
from services.gateway.ports import KeptEvent


@dataclass
class MemoryForgeEvents:
    """Twin of `ports.ForgeEvents`."""

    now: Callable[[], datetime]
    pulls: dict[tuple[str, int], KnownPull] = field(default_factory=dict)
    kept: dict[str, KeptEvent] = field(default_factory=dict)
    """By delivery."""
    due: dict[int, datetime] = field(default_factory=dict)
    """By position; what is done is not in it."""

    async def know(self, pull: KnownPull) -> None:
        """See the port."""
        key = (pull.repository.lower(), pull.number)
        if key not in self.pulls or self.pulls[key].changed_at <= pull.changed_at:
            self.pulls[key] = pull

    async def pull(self, repository: str, number: int) -> KnownPull | None:
        """See the port."""
        return self.pulls.get((repository.lower(), number))

    async def keep(self, delivery: str, told: PullAsk | DeploymentTold) -> bool:
        """See the port."""
        if delivery in self.kept:
            return False
        position = len(self.kept) + 1
        self.kept[delivery] = KeptEvent(position, delivery, told, self.now())
        self.due[position] = self.now()
        return True

    async def take(self, seconds: float) -> KeptEvent | None:
        """See the port."""
        lines: set[str] = set()
        for one in self.kept.values():
            if one.position not in self.due:
                continue
            line = line_of(one.told)
            if line not in lines and self.due[one.position] <= self.now():
                self.due[one.position] = self.now() + timedelta(seconds=seconds)
                return one
            lines.add(line)
        return None

    async def done(self, position: int) -> None:
        """See the port."""
        self.due.pop(position, None)

    async def later(self, position: int, seconds: float) -> None:
        """See the port."""
        self.due[position] = self.now() + timedelta(seconds=seconds)


@dataclass
class MemoryMembers:
    """Twin of `ports.Members`."""

    tokens: MemoryTokens
    sessions: MemorySessions
    now: Callable[[], datetime]

    async def find(self, person: str) -> Principal | None:
        """See the port."""
        rights = [(token.role, token.teams) for token in await self.tokens.all(person) if token.is_open(self.now())]
        found = [one for one in self.sessions.rows.values() if one.person == person]
        rights += [(one.role, one.teams) for one in found if one.expires_at > self.now()]
        return member(person, rights)
