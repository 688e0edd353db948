"""The look before the effect.

A service that dies after it said its outcome, and before it acknowledged, gets the message again; meanwhile the run may
have gone on, failed and been undone. To repeat the effect then would create again what nobody will ever remove. So
before every effect a service looks at the log, and does nothing if its outcome is already there or the run is over.

Fast path: where the very message in hand is still the last of its environment, nothing can have happened since, and
one read answers everything.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chassis.bus import Bus
from contracts import subjects
from contracts.envelope import Event
from contracts.events import RUN_CANCELS, RUN_REQUESTS

View = Literal["go on", "already said", "run is over", "called off"]


@dataclass(frozen=True)
class Sight:
    """What the log says about handling an event."""

    view: View
    newest_sequence: int
    """The last of the environment's events that the look has seen. An outcome that is stored on the condition that
    nothing came after it cannot overtake what would have changed the view."""


async def look(bus: Bus, event: Event, sequence: int, outcomes: Sequence[type[Event]], *, of_run: bool = True) -> Sight:
    """Look for `event`, stored at `sequence` (0 where that is not known). `outcomes` are the kinds that its handler may
    say; an event that is not `of_run` is never late. Raises as `Bus.last`."""
    newest = await bus.last(subjects.ENVIRONMENTS, subjects.every_event_of(event.subject))
    newest_sequence = newest.seq or 0 if newest is not None else 0
    if newest_sequence == sequence:
        return Sight("go on", newest_sequence)
    said, asked, cancelled = await asyncio.gather(
        _last_of(bus, event.subject, outcomes),
        _last_of(bus, event.subject, RUN_REQUESTS),
        _last_of(bus, event.subject, RUN_CANCELS),
    )
    view: View = "go on"
    if any(outcome.causation_id == event.id for _, outcome in said):
        view = "already said"
    elif not of_run:
        view = "go on"
    elif asked and max(asked, key=_sequence)[1].run_id != event.run_id:
        view = "run is over"
    elif any(cancel.run_id == event.run_id for _, cancel in cancelled):
        view = "called off"
    return Sight(view, newest_sequence)


async def _last_of(bus: Bus, environment: str, kinds: Sequence[type[Event]]) -> list[tuple[int, Event]]:
    found = await asyncio.gather(
        *(bus.last(subjects.ENVIRONMENTS, subjects.one_kind_of(environment, kind.kind)) for kind in kinds)
    )
    return [
        (message.seq or 0, kind.model_validate_json(message.data))
        for kind, message in zip(kinds, found, strict=True)
        if message is not None and message.data is not None
    ]


def _sequence(found: tuple[int, Event]) -> int:
    return found[0]
