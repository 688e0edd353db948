"""The twin of the store of facts: a dictionary that keeps the same promises, for one process."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.queries import EnvironmentView
from services.catalog.domain.records import EMPTY, Head, Message
from services.catalog.domain.signals import Facts, Life, SignalBatch, SignalRecord, life_of
from services.catalog.ports import AlreadyRecordedError


@dataclass
class MemorySignals:
    """See `ports.SignalStore`."""

    environments: Mapping[str, EnvironmentView]
    known: dict[str, Facts] = field(default_factory=dict)
    _head: Head = EMPTY
    _records: dict[int, SignalRecord] = field(default_factory=dict)

    async def head(self) -> Head:
        return self._head

    async def load(self, names: Collection[str]) -> tuple[Head, Mapping[str, Life], Mapping[str, Facts]]:
        lives = {name: life_of(self.environments[name]) for name in names if name in self.environments}
        return self._head, lives, await self.facts(names)

    async def append(self, batch: SignalBatch) -> bool:
        if batch.before != self._head:
            return False
        known = await self.recorded([one.signal_id for one in self._records.values() if one.signal_id is not None])
        if any(one.rejection is None and one.signal_id in known for one in batch.records):
            raise AlreadyRecordedError
        self._records |= {one.sequence: one for one in batch.records}
        self.known |= batch.facts
        self._head = batch.head
        return True

    async def recorded(self, ids: Collection[UUID]) -> set[UUID]:
        believed = {one.signal_id for one in self._records.values() if one.rejection is None}
        return {one for one in ids if one in believed}

    async def message(self, sequence: int) -> Message | None:
        return self._records.get(sequence)

    def believed(self) -> list[tuple[int, bytes]]:
        """The bodies of what is believed, with their sequences, in their order."""
        return [(number, one.body) for number, one in sorted(self._records.items()) if one.rejection is None]

    def of_life(self, environment: str, incarnation: UUID, at: datetime) -> list[SignalRecord]:
        """What is believed of one life, up to a time."""
        return [
            one
            for _, one in sorted(self._records.items())
            if (one.environment, one.incarnation, one.rejection) == (environment, incarnation, None)
            if one.time is not None and one.time <= at
        ]

    async def facts(self, names: Collection[str]) -> Mapping[str, Facts]:
        return {name: self.known[name] for name in names if name in self.known}
