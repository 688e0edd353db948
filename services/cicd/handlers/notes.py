"""What an undo has done so far, and what becomes a receipt of it.

Invariant: an undo ends. What the forge will not let go of is left, and said to be.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chassis.failures import PermanentError
from contracts.values import LeftBehind, Receipt, Resource


@dataclass
class Notes:
    """What an undo has done so far."""

    removed: list[Resource] = field(default_factory=list)
    restored: list[Resource] = field(default_factory=list)
    left_behind: list[LeftBehind] = field(default_factory=list)
    kept: list[LeftBehind] = field(default_factory=list)

    @property
    def receipt(self) -> Receipt:
        """As it is told."""
        return Receipt(
            removed=tuple(self.removed),
            restored=tuple(self.restored),
            left_behind=tuple(self.left_behind),
            kept=tuple(self.kept),
        )

    async def take(self, kind: str, identifier: str, action: Callable[[], Awaitable[None]]) -> None:
        """Remove a thing; where the forge will not have it, say so and go on: an undo ends."""
        await self._try(self.removed, kind, identifier, action)

    async def put_back(self, kind: str, identifier: str, action: Callable[[], Awaitable[None]]) -> None:
        """Make a thing what it was before; as `take`."""
        await self._try(self.restored, kind, identifier, action)

    async def _try(
        self, done: list[Resource], kind: str, identifier: str, action: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            await action()
        except PermanentError as error:
            self.leave(kind, identifier, str(error))
        else:
            done.append(Resource(kind=kind, id=identifier))

    def leave(self, kind: str, identifier: str, reason: str) -> None:
        """Leave what should go, with the reason why it did not."""
        self.left_behind.append(LeftBehind(resource=Resource(kind=kind, id=identifier), reason=reason))

    def keep(self, kind: str, identifier: str, reason: str) -> None:
        """Keep something on purpose, with the reason."""
        self.kept.append(LeftBehind(resource=Resource(kind=kind, id=identifier), reason=reason))
