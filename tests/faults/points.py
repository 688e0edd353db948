"""Every point at which a run can be cut: derived from the services' own tables, so that a new row is a new row here.

A story is one way that a run can go: a creation that ends well, one of which the pipeline fails, ... Walking the tables
from its request gives its road (the events in their order), and each hop of the road gives the points of whoever
handles it: before the effect, after the effect and before the publish, after the publish and before the ack.
"""

import dataclasses
import importlib
import inspect
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from chassis.consuming import Subscription
from chassis.faults import Point
from contracts.envelope import Event, ServiceName
from contracts.events import (
    EnvironmentDeleted,
    EnvironmentDeletionRequested,
    EnvironmentFailed,
    EnvironmentReady,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
)
from contracts.topology import HEARS, SAYS, STEPS

Operation = Literal["create", "update", "delete"]
OPERATIONS: Final[tuple[Operation, ...]] = typing.get_args(Operation)
REQUESTS: Final[dict[Operation, type[Event]]] = {
    "create": EnvironmentRequested,
    "update": EnvironmentUpdateRequested,
    "delete": EnvironmentDeletionRequested,
}
VERDICTS: Final[dict[Operation, type[Event]]] = {
    "create": EnvironmentReady,
    "update": EnvironmentReady,
    "delete": EnvironmentDeleted,
}
"""How each ends where nothing fails. The rule is the catalog's own, so no table has it."""


@dataclass(frozen=True)
class Story:
    """One way that a run can go."""

    operation: Operation
    fails_at: ServiceName | None = None
    """The service whose step fails for good."""

    def __str__(self) -> str:
        return self.operation if self.fails_at is None else f"{self.operation}, {STEPS[self.fails_at]} fails"

    @property
    def verdict(self) -> type[Event]:
        """How the run ends."""
        return VERDICTS[self.operation] if self.fails_at is None else EnvironmentFailed


@dataclass(frozen=True)
class Hop:
    """One service handling one event."""

    service: ServiceName
    hears: type[Event]
    says: type[Event]
    fails: bool


@dataclass(frozen=True)
class Place:
    """A point of a story: where, and in what."""

    story: Story
    service: ServiceName
    hears: str
    """The event that is handled: at its beginning the request itself."""
    point: Point
    says: str = ""
    """The event that was said, where the point is after a publish."""

    @property
    def kind(self) -> str:
        """Of the event by which the process knows the point."""
        return self.says or self.hears

    def __str__(self) -> str:
        return f"{self.story}: {self.service} {self.point.replace('_', ' ')} ({self.kind})"


STORIES: Final = (
    Story("create"),
    Story("update"),
    Story("delete"),
    *(Story("create", service) for service in STEPS),
    Story("update", "provisioner"),
)


@cache
def table_of(service: ServiceName) -> tuple[Subscription[Any], ...]:
    """A service's table. It only names deeds, so handlers without any port will do."""
    module = importlib.import_module(f"services.{service}.subscriptions")
    hints = typing.get_type_hints(module.subscriptions)
    handlers = [hints[name] for name in inspect.signature(module.subscriptions).parameters]
    portless = [one(**{field.name: None for field in dataclasses.fields(one) if field.init}) for one in handlers]
    return tuple(module.subscriptions(*portless))


def hops(story: Story) -> tuple[Hop, ...]:
    """Who handles what, from the request on, as long as anybody says anything to it."""
    found: list[Hop] = []
    event = REQUESTS[story.operation]
    while (taken := _taken_up(event)) is not None:
        service, row = taken
        fails = service == story.fails_at and row.goes_forward
        says = row.or_else if fails else row.says
        assert says is not None
        found.append(Hop(service, event, says, fails))
        event = says
    return tuple(found)


def road(story: Story) -> tuple[type[Event], ...]:
    """The events of the run in their order, from the request to the verdict."""
    return (REQUESTS[story.operation], *(hop.says for hop in hops(story)), story.verdict)


def places(story: Story) -> tuple[Place, ...]:
    """Every point of the story, in the order in which it gets there. Of one that fails, those that the same story
    without the failure does not have."""
    found = list(_places(story))
    if story.fails_at is not None:
        usual = {(one.service, one.kind, one.point) for one in _places(Story(story.operation))}
        found = [one for one in found if (one.service, one.kind, one.point) not in usual]
    return tuple(found)


def _places(story: Story) -> Iterator[Place]:
    request, verdict = REQUESTS[story.operation], story.verdict
    yield from _around(story, "gateway", request)
    yield Place(story, "gateway", request.kind, "after_publish", request.kind)
    yield from _around(story, "catalog", request)
    last = request
    for hop in hops(story):
        yield from _around(story, hop.service, hop.hears, fails=hop.fails)
        yield Place(story, hop.service, hop.hears.kind, "after_publish", hop.says.kind)
        yield from _around(story, "catalog", hop.says)
        last = hop.says
    yield Place(story, "catalog", last.kind, "after_publish", verdict.kind)
    yield from _around(story, "catalog", verdict)
    for service in listeners(verdict):
        yield from _around(story, service, verdict)


def _around(story: Story, service: ServiceName, hears: type[Event], *, fails: bool = False) -> Iterator[Place]:
    """The points on both sides of an effect; there is none after an effect that fails."""
    yield Place(story, service, hears.kind, "before_effect")
    if not fails:
        yield Place(story, service, hears.kind, "after_effect")


def listeners(kind: type[Event]) -> Sequence[ServiceName]:
    """Who has a deed for an event but nothing to say to it."""
    return [service for service, heard in HEARS.items() if kind in heard and not SAYS[service]]


def _taken_up(event: type[Event]) -> tuple[ServiceName, Subscription[Any]] | None:
    for service in HEARS:
        for row in table_of(service) if HEARS[service] else ():
            if row.hears is event and row.says is not None:
                return service, row
    return None
