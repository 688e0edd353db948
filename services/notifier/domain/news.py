"""What means something outside: an event or a fact, and whose environment it is about."""

from dataclasses import dataclass
from functools import cached_property

from contracts.envelope import Event
from contracts.signals import Signal


@dataclass(frozen=True)
class Ownership:
    """Whose an environment is, and of which golden path."""

    team: str
    golden_path: str


@dataclass(frozen=True)
class News:
    """One message of the log or of the facts, checked."""

    message: Event | Signal
    environment: str
    owned: Ownership

    @property
    def kind(self) -> str:
        """`environment_ready`, `deployment_recorded`, …"""
        return self.message.kind

    @cached_property
    def body(self) -> bytes:
        """The CloudEvent as others see it: JSON in structured mode."""
        return self.message.to_json()
