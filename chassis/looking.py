"""The look before the effect.

A service that dies after it said its outcome, and before it acknowledged, gets the message again; meanwhile the run may
have gone on, failed and been undone. To repeat the effect then would create again what nobody will ever remove. So
before every effect a service looks at the log, and does nothing if its outcome is already there or the run is over.

Fast path: where the very message in hand is still the last of its environment, nothing can have happened since, and
one read answers everything.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

from chassis.bus import Bus
from contracts import subjects
from contracts.envelope import Event

View = Literal["go on", "already said", "run is over"]


async def look(
    bus: Bus, event: Event, sequence: int, outcomes: Sequence[type[Event]], requests: Sequence[type[Event]]
) -> View:
    """What the log says about handling `event`, stored at `sequence`.

    `outcomes` are the kinds the handler may say, `requests` the kinds that begin a run. Raises as `Bus.last`.
    """
    newest = await bus.last(subjects.ENVIRONMENTS, subjects.every_event_of(event.subject))
    if newest is not None and newest.seq == sequence:
        return "go on"
    kinds = (*outcomes, *requests)
    found = await asyncio.gather(
        *(bus.last(subjects.ENVIRONMENTS, subjects.one_kind_of(event.subject, kind.kind)) for kind in kinds)
    )
    last_request: Event | None = None
    last_request_sequence = 0
    for kind, message in zip(kinds, found, strict=True):
        if message is None or message.data is None or message.seq is None:
            continue
        said = kind.model_validate_json(message.data)
        if kind in requests:
            if message.seq > last_request_sequence:
                last_request_sequence, last_request = message.seq, said
        elif said.causation_id == event.id:
            return "already said"
    if last_request is not None and last_request.run_id != event.run_id:
        return "run is over"
    return "go on"
