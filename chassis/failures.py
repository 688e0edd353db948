"""What a failure means, decided in one place.

An adapter says which of two kinds a failure is; everything else that escapes a handler counts as transient, until it
has been tried often enough. `decide` turns that into one of three outcomes: done, again later, or never.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

RETRY_DELAYS_SECONDS: Final = (1.0, 5.0, 15.0, 60.0)
"""Before the second, third, … attempt. JetStream's own backoff does not apply to a nak, so we ask for each delay."""
ATTEMPTS: Final = len(RETRY_DELAYS_SECONDS) + 1
UNDO_DELAYS_SECONDS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0)
"""The same for taking something away, which is tried longer than making it (nearly twelve minutes): what it gives up on
stays behind, and each death of the process counts as an attempt."""


class TransientError(Exception):
    """Trying again later may work: the other side was busy, away or slow."""

    def __init__(self, message: str, *, delay_seconds: float | None = None) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds
        """When to try again, where the other side said so (a Retry-After, for instance)."""


class PermanentError(Exception):
    """Trying again cannot work. `message` says what happened and why, `next_step` what a person can do."""

    def __init__(self, code: str, message: str, *, next_step: str) -> None:
        super().__init__(message)
        self.code = code
        self.next_step = next_step


@dataclass(frozen=True)
class Retry:
    """Hand the message back for a later attempt."""

    delay_seconds: float
    attempt: int
    attempts: int


@dataclass(frozen=True)
class GiveUp:
    """Say the failure, and never try this message again."""

    error: PermanentError
    attempts: int


Decision = Retry | GiveUp


def decide(error: Exception, attempt: int, delays_seconds: Sequence[float] = RETRY_DELAYS_SECONDS) -> Decision:
    """What follows from `error` at this attempt (counted from 1)."""
    if isinstance(error, PermanentError):
        return GiveUp(error, attempt)
    if attempt <= len(delays_seconds):
        asked = error.delay_seconds if isinstance(error, TransientError) else None
        return Retry(asked if asked is not None else delays_seconds[attempt - 1], attempt, len(delays_seconds) + 1)
    message = str(error) if isinstance(error, TransientError) else f"an unexpected {type(error).__name__}"
    gave_up = PermanentError(
        "gave_up",
        f"{message} (tried {attempt} times)",
        next_step="Try again in a few minutes; if it fails again, give the trace id to the platform team.",
    )
    gave_up.__cause__ = error
    return GiveUp(gave_up, attempt)
