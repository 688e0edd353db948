"""Whole runs as tests need them: the events of a saga in order, with ids that follow from their causes. The verdict at
the end of each is left to the catalog, unless asked for."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from chassis.identity import EventKey
from contracts.envelope import Event, Value
from contracts.events import (
    Asked,
    EnvironmentDeleted,
    EnvironmentDeletedData,
    EnvironmentDeletionRequested,
    EnvironmentFailed,
    EnvironmentFailedData,
    EnvironmentReady,
    EnvironmentReadyData,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    InfraReadyData,
    PipelineCreated,
    PipelineCreatedData,
    PipelineFailed,
    PipelineRemoved,
    SecretsFailed,
    SecretsRevoked,
    SecretsStored,
    SecretsStoredData,
    StepFailed,
    Undone,
)
from contracts.values import EnvironmentSpec, Failure, Receipt, Resource, Step
from tests import samples

E = TypeVar("E", bound=Event)

FAILED: dict[Step, type[Event]] = {"infrastructure": InfraFailed, "secrets": SecretsFailed, "pipeline": PipelineFailed}
REMOVED: dict[Step, Resource] = {
    "infrastructure": Resource(kind="database", id="apps/env_demo_api"),
    "secrets": Resource(kind="secret", id="kv/env/demo-api/app"),
    "pipeline": Resource(kind="repository", id="acme/demo-api"),
}


class Story:
    """One life of one environment, told event by event, a second after the other."""

    def __init__(self, key: EventKey, name: str = "demo-api", *, cause: UUID | None = None, **changes: Any) -> None:
        self._key = key
        self._second = timedelta(seconds=1)
        self.request = samples.requested(key, name, cause, **changes)
        self.events: list[Event] = [self.request]
        self._spec = self.request.data.spec
        self._previous: EnvironmentSpec | None = None

    @classmethod
    def after(
        cls, key: EventKey, asked: EnvironmentRequested | EnvironmentUpdateRequested | EnvironmentDeletionRequested
    ) -> "Story":
        """What follows a request that is on the log already."""
        story = cls(key, asked.subject)
        story.events = [asked]
        story._spec, story._previous = asked.data.spec, asked.data.previous
        return story

    @property
    def last(self) -> Event:
        """The event that was told last."""
        return self.events[-1]

    def add(self, kind: type[E], data: Value, *, because: Event | None = None, **changes: Any) -> E:
        """Tell another event, brought about by the last one."""
        cause = because or self.last
        time: datetime = changes.pop("time", self.last.time + self._second)
        event = samples.follows(self._key, kind, data, cause, time=time, **changes)
        self.events.append(event)
        return event

    def create(self, until: Step = "pipeline") -> "Story":
        """The way forward, up to and including a step."""
        name, of_run = self.request.subject, {"spec": self._spec, "previous": self._previous}
        made = samples.infrastructure(name)
        self.add(InfraReady, InfraReadyData.model_validate({**of_run, "infrastructure": made}))
        if until == "infrastructure":
            return self
        stored = samples.secrets(name)
        self.add(SecretsStored, SecretsStoredData.model_validate({**of_run, "infrastructure": made, "secrets": stored}))
        if until == "secrets":
            return self
        everything = {**of_run, "infrastructure": made, "secrets": stored, "pipeline": samples.pipeline(name)}
        self.add(PipelineCreated, PipelineCreatedData.model_validate(everything))
        return self

    def fail(self, step: Step) -> "Story":
        """A step fails, and everything is undone."""
        failure = Failure(step=step, code="refused", message="It would not.", next_step="Ask for less.")
        self.add(FAILED[step], StepFailed(spec=self._spec, previous=self._previous, failure=failure))
        return self.undo(step)

    def undo(self, step: Step) -> "Story":
        """The road back from a step, that one included."""
        for name, kind in _road_back(step):
            receipt = Receipt(removed=(REMOVED[name],))
            self.add(kind, Undone(spec=self._spec, previous=self._previous, receipt=receipt))
        return self

    def update(self, **changes: Any) -> "Story":
        """Somebody asks for something else."""
        before = self._spec
        self._previous = before
        self._spec = before.model_copy(update=changes)
        return self._ask(EnvironmentUpdateRequested)

    def delete(self) -> "Story":
        """Somebody asks for its end, and everything is undone."""
        self._previous = None
        return self._ask(EnvironmentDeletionRequested).undo("pipeline")

    def _ask(self, kind: type[Event]) -> "Story":
        cause = uuid4()
        event_id = self._key.derive(cause, kind.kind)
        asked = Asked(spec=self._spec, previous=self._previous, requested_by="ada")
        self.add(kind, asked, id=event_id, runid=event_id, causationid=cause, correlationid=event_id, source="gateway")
        return self

    def ready(self) -> "Story":
        """The verdict of a creation."""
        name, wanted = self.request.subject, self._spec
        data = EnvironmentReadyData(
            spec=wanted,
            previous=self._previous,
            infrastructure=samples.infrastructure(name),
            secrets=samples.secrets(name),
            pipeline=samples.pipeline(name),
            duration_seconds=3,
        )
        self.add(EnvironmentReady, data, source="catalog")
        return self

    def failed(self, step: Step) -> "Story":
        """The verdict of a run that was undone."""
        failure = Failure(step=step, code="refused", message="It would not.", next_step="Ask for less.")
        data = EnvironmentFailedData(
            spec=self._spec,
            previous=self._previous,
            failure=failure,
            created=(),
            undone=(),
            left_behind=(),
            duration_seconds=3,
        )
        self.add(EnvironmentFailed, data, source="catalog")
        return self

    def deleted(self) -> "Story":
        """The verdict of a deletion."""
        data = EnvironmentDeletedData(spec=self._spec, removed=(), left_behind=(), duration_seconds=3)
        self.add(EnvironmentDeleted, data, source="catalog")
        return self


def _road_back(step: Step) -> Iterator[tuple[Step, type[Event]]]:
    road: tuple[tuple[Step, type[Event]], ...] = (
        ("pipeline", PipelineRemoved),
        ("secrets", SecretsRevoked),
        ("infrastructure", InfraDestroyed),
    )
    names = [name for name, _ in road]
    yield from road[names.index(step) :]
