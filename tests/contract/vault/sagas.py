"""The service's deeds in one world, in the order of a saga."""

from typing import Any
from uuid import UUID

from contracts.events import SecretsStoredData, Undone
from contracts.values import EnvironmentSpec
from services.secrets.adapters.memory import MemoryHistory, MemoryJournal
from services.secrets.handlers import Handlers
from tests.contract.vault.worlds import World
from tests.unit.secrets.events import infra_ready, pipeline_removed


class Saga:
    """The service's deeds in one world, with a log that remembers what was said."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.history = MemoryHistory()
        self.handlers = self.with_vault(world.vault)

    def with_vault(self, vault: Any) -> Handlers:
        return Handlers(vault=vault, history=self.history, journal=MemoryJournal())

    async def store(self, name: str, incarnation: UUID, **how: Any) -> SecretsStoredData:
        said = await self.handlers.store(infra_ready(name, incarnation, **how))
        self.history.note_stored(name, incarnation, said.secrets)
        return said

    async def revoke(self, name: str, incarnation: UUID) -> None:
        await self.handlers.revoke(pipeline_removed(name, incarnation))
        self.history.note_revoked(name, incarnation)

    async def restore(self, name: str, incarnation: UUID, run: UUID, previous: EnvironmentSpec) -> Undone:
        undone = await self.handlers.undo(pipeline_removed(name, incarnation, previous=previous, run=run))
        self.history.note_restored(name, incarnation, undone.receipt)
        return undone
