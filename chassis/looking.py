"""The look before the effect.

A service that dies after it said its outcome, and before it acknowledged, gets the message again; meanwhile the run may
have gone on, failed and been undone. To repeat the effect then would create again what nobody will ever remove. So
before every effect a service looks at the log, and does nothing if its outcome is already there or the run is over.

Fast path: where the very message in hand is still the last of its environment, nothing can have happened since, and
one read answers everything. That holds for the first copy of an event only. The bus drops further copies within its
window for duplicates, so a message that was stored later than that after its event was made is looked at closely.

That one read may be answered by any server of a cluster, also by one that is behind: on its first delivery, soon after
it was stored, a message cannot have been handled before, and whatever else came since stops the conditional publish of
its outcome. Everything else is asked of the leader. An answer from the past would take a run that has just begun for
over, one that was called off for wanted, and what was said for unsaid.

What cannot be believed (malformed, or with an id that does not follow from its cause) counts as if it were not there:
it must neither stop a run nor pass for its outcome.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from pydantic import ValidationError

from chassis.bus import Bus
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event
from contracts.events import RUN_CANCELS, RUN_REQUESTS

View = Literal["go on", "already said", "run is over", "called off"]

FIRST_COPY_WITHIN: Final = timedelta(seconds=60)
"""A message stored this soon after its event was made is its first copy: the bus drops others for two minutes, whatever
the clocks of two machines differ by."""
JUST_STORED_WITHIN: Final = timedelta(seconds=10)
"""Less than it takes until a message whose handler has died is delivered again."""


@dataclass(frozen=True)
class Sight:
    """What the log says about handling an event."""

    view: View
    newest_sequence: int
    """The last of the environment's events that the look has seen. An outcome that is stored on the condition that
    nothing came after it cannot overtake what would have changed the view."""


def is_first_copy(event: Event, stored_at: datetime) -> bool:
    """Whether the message that was stored at this time is certainly the first that carries `event`."""
    return abs(stored_at - event.time) < FIRST_COPY_WITHIN


def is_just_stored(stored_at: datetime, delivered: int) -> bool:
    """Whether nobody can have handled the message before: it is delivered for the first time, and soon. A durable that
    was made again counts from one again, with messages that are old by then."""
    return delivered == 1 and abs(datetime.now(UTC) - stored_at) < JUST_STORED_WITHIN


async def look(
    bus: Bus,
    key: EventKey,
    event: Event,
    sequence: int,
    outcomes: Sequence[type[Event]],
    *,
    of_run: bool = True,
    just_stored: bool = False,
) -> Sight:
    """Look for `event`, of which the first copy is stored at `sequence` (0 where that is not known). `outcomes` are the
    kinds that its handler may say; an event that is not `of_run` is never late; one that is `just_stored` is in the
    hands of its first handler. Raises as `Bus.last`."""
    everything = subjects.every_event_of(event.subject)
    if just_stored:
        seen = await bus.last(subjects.ENVIRONMENTS, everything)
        if seen is not None and seen.seq == sequence:
            return Sight("go on", sequence)
    newest = await bus.last_stored(subjects.ENVIRONMENTS, everything)
    newest_sequence = newest.seq or 0 if newest is not None else 0
    if newest_sequence == sequence:
        return Sight("go on", newest_sequence)
    said, asked, cancelled = await asyncio.gather(
        _last_of(bus, key, event.subject, outcomes),
        _last_of(bus, key, event.subject, RUN_REQUESTS),
        _last_of(bus, key, event.subject, RUN_CANCELS),
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


async def _last_of(bus: Bus, key: EventKey, environment: str, kinds: Sequence[type[Event]]) -> list[tuple[int, Event]]:
    found = await asyncio.gather(
        *(bus.last_stored(subjects.ENVIRONMENTS, subjects.one_kind_of(environment, kind.kind)) for kind in kinds)
    )
    return [
        (message.seq or 0, event)
        for kind, message in zip(kinds, found, strict=True)
        if message is not None and (event := _believed(key, kind, environment, message.data)) is not None
    ]


def _believed(key: EventKey, kind: type[Event], environment: str, body: bytes | None) -> Event | None:
    try:
        event = Event.model_validate_json(body or b"")  # its envelope, which every release reads
    except ValidationError:
        return None
    return event if event.subject == environment and event.id == key.derive(event.causation_id, kind.kind) else None


def _sequence(found: tuple[int, Event]) -> int:
    return found[0]
