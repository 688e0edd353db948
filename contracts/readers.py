"""Readers: programs of a team that follow the events of its environments on the bus.

Invariant: what a reader may do follows from its name alone, and its team from the durable that the provisioning job
made for it. It can fetch from that durable and acknowledge what it fetched; it cannot make, change or look at any.
"""

from typing import Final

from pydantic import BaseModel, ConfigDict

from contracts import subjects
from contracts.names import TeamName
from contracts.topology import Permissions

NEXT: Final = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.FEEDS}"
"""Asking a durable of the feeds for its next messages; its name follows."""
ACK: Final = f"$JS.ACK.{subjects.FEEDS}"
"""Acknowledging a message; the durable's name and more follow."""


class Reader(BaseModel):
    """A program that reads one team's feed. Its durable has its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: TeamName
    """By the same rule as a team's: safe in a subject and in the name of a file."""
    team: TeamName


class ReaderList(BaseModel):
    """Every reader of a platform: what the operator keeps, and whoever fills the feeds reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    readers: tuple[Reader, ...] = ()

    def named(self, name: str) -> Reader | None:
        """The reader called `name`."""
        return next((reader for reader in self.readers if reader.name == name), None)

    @property
    def teams(self) -> frozenset[str]:
        """The teams of which somebody reads the feed."""
        return frozenset(reader.team for reader in self.readers)


def inbox_prefix(reader: str) -> str:
    """Where what a reader asks for arrives: the `inbox_prefix` that its client must use."""
    return f"_INBOX_{reader}"


def permissions_of(reader: str) -> Permissions:
    """Exactly what a reader may publish and subscribe, in the readers' own account."""
    return Permissions((f"{NEXT}.{reader}", f"{ACK}.{reader}.>"), (f"{inbox_prefix(reader)}.>",))
