"""Hearing of everything that means something outside, and passing it on to whoever listens.

Invariants
- A message that nobody listens for costs nearly nothing: it is not even read.
- Listeners are told at least once, and in the order of the stream as far as one process reads it. Each makes sure by
  itself that hearing twice changes nothing.
- What is malformed, or an event whose id does not follow from its cause, is nobody's news: the catalog lays it aside.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from chassis.failures import PermanentError
from chassis.reading import Found
from contracts import events, subjects
from contracts.envelope import Event
from contracts.signals import Signal, parse_signal
from contracts.values import EnvironmentSpec
from services.notifier.domain.news import News, Ownership
from services.notifier.ports import Listener, Owners

_log = structlog.get_logger(__name__)

_SIGNAL: Final = "signal."


class NewerReleaseError(Exception):
    """Something was said by a newer release, and is for a process of that release to tell."""


@dataclass(frozen=True)
class Hearing:
    """Reads what somebody wants to know, finds out whose it is, and tells."""

    listeners: Sequence[Listener]
    """Everybody who is told, in this order."""
    owners: Owners
    is_genuine: Callable[[Event], bool]
    """Whether an event's id follows from its cause."""
    is_newer: Callable[[Found], bool]
    """Whether a message that cannot be read was said by a newer release: it comes again, and then to one of that."""
    look_again: Callable[[], Awaitable[None]]
    """What listeners decide by is as of now, when this returns. It is done after messages have come and before anybody
    is asked whether they matter: so no listener misses what was said after it began to listen."""

    async def hear(self, messages: Sequence[Found]) -> None:
        """Tell the listeners. Raises `TransientError` where one of them, or the catalog, is away."""
        await self.look_again()
        kinds = {message.kind for message in messages}
        wanted = {kind: [one for one in self.listeners if one.wants(kind)] for kind in kinds}
        if not any(wanted.values()):
            return
        news = [one for message in messages if wanted[message.kind] and (one := await self._news(message))]
        for listener in self.listeners:
            theirs = [one for one in news if listener in wanted[one.kind]]
            if theirs:
                await listener.hear(theirs)

    async def _news(self, message: Found) -> News | None:
        try:
            said = _parse(message)
        except ValueError as error:
            if self.is_newer(message):
                raise NewerReleaseError(message.subject) from error
            _log.warning("passed over what is malformed", subject=message.subject, error_type=type(error).__name__)
            return None
        if isinstance(said, Event) and not self.is_genuine(said):
            _log.warning("passed over what nobody of us said", subject=message.subject)
            return None
        if said.subject is None:
            return None
        spec = getattr(said.data, "spec", None)  # type: ignore[union-attr]  # every event and every fact has data
        if isinstance(spec, EnvironmentSpec):
            return News(said, said.subject, Ownership(spec.owner.team, spec.golden_path))
        owned = await self._owner(said, message)
        return News(said, said.subject, owned) if owned is not None else None

    async def _owner(self, said: Event | Signal, message: Found) -> Ownership | None:
        """Whose the environment is of what does not say so itself; None where it is another life's, or nobody's."""
        name = str(said.subject)
        try:
            if isinstance(said, Event):
                return await self.owners.of(name, incarnation=said.incarnation, min_sequence=message.sequence)
            return await self.owners.of(name)
        except PermanentError as error:
            _log.warning("nobody could say whose it is", environment=name, error=str(error)[:500])
            return None


def _parse(message: Found) -> Event | Signal:
    """What stands there. Raises ValueError (`pydantic.ValidationError` is one), also where it stands in the wrong
    place."""
    said: Event | Signal
    if message.subject.startswith(_SIGNAL):
        said = parse_signal(message.body)
        place = subjects.of_signal(said)
    else:
        said = events.parse(message.body)
        place = subjects.of(said)
    if place != message.subject:
        raise ValueError("it stands in the wrong place")
    return said
