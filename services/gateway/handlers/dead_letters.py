"""Dead letters: what an operator sees of them, and how one is sent back."""

from dataclasses import dataclass
from uuid import uuid4

from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import BrokenRule, InvalidError, UnknownThingError
from services.gateway.ports import DeadLetter, DeadLetters


@dataclass(frozen=True)
class DeadLetterDesk:
    """For admins only."""

    letters: DeadLetters

    async def page(self, principal: Principal, before: int | None, limit: int) -> list[DeadLetter]:
        """The newest before a sequence."""
        principal.require("admin")
        return await self.letters.page(before, limit)

    async def find(self, principal: Principal, sequence: int) -> DeadLetter:
        """One of them, with its original bytes. Raises `UnknownThingError`."""
        principal.require("admin")
        letter = await self.letters.find(sequence)
        if letter is None:
            raise UnknownThingError("There is no dead letter of this sequence; they are kept for 90 days.")
        return letter

    async def replay(self, principal: Principal, sequence: int, key: str | None) -> tuple[DeadLetter, int]:
        """Send a dead letter back to the service that laid it aside, byte for byte; with its sequence among the
        replays. The same key within two minutes sends it once."""
        letter = await self.find(principal, sequence)
        if not letter.replayable:
            rule = f"must be of a service that takes its messages back; {letter.service} does not"
            raise InvalidError([BrokenRule("sequence", rule)])
        message_id = f"replay-{sequence}-{key if key is not None else uuid4()}"
        return letter, await self.letters.replay(letter, message_id, by=principal.person)
