"""The envelope of every event: CloudEvents 1.0 in structured JSON mode, with the extension attributes that carry an
event's place in its run and in its trace.

Invariant: an event is frozen, says one thing that has happened, and can be understood without reading another one.
Values of secrets never travel in an event, only paths and versions.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints

from contracts.names import EnvironmentName


@lru_cache(maxsize=4096)  # the same few moments stand in a view again and again, and in each event after the first
def _rfc3339(moment: datetime) -> str:
    text = moment.isoformat(timespec="microseconds")
    if not text.endswith("+00:00"):
        text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return f"{text[:-6]}Z"


Timestamp = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]
"""An instant; in JSON RFC 3339 in UTC with microseconds."""

TraceParent = Annotated[str, StringConstraints(pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]
"""W3C Trace Context `traceparent`, version 00, with any flags (level 2 adds `random`)."""

ServiceName = Literal["gateway", "provisioner", "secrets", "cicd", "catalog", "notifier"]


class Value(BaseModel):
    """A plain value inside an event: frozen; fields it does not know are ignored, so that an older reader survives
    what a newer writer adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _as_closed(schema: dict[str, Any]) -> None:
    """What a model takes beside its fields is nobody's promise."""
    schema.pop("additionalProperties", None)


class Carried(Value):
    """A value that one service fills in and the next ones carry on: what a newer writer adds to it survives an older
    process in between. Only that: nobody acts by what is not a field."""

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_extra=_as_closed)


class Event(Value):
    """One fact about one environment. Subclasses fix `type` and give `data` its shape.

    `id` is derived from `causation_id` and the type (see `chassis.identity`), so the same cause never yields two
    different events of one kind, however often it is handled.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True)
    kind: ClassVar[str]
    """The event's name in snake case: the last token of its subject."""

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: ServiceName
    type: str
    subject: EnvironmentName
    """The environment's name."""
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    incarnation: UUID
    """Id of the EnvironmentRequested that began this life of the environment."""
    run_id: UUID = Field(alias="runid")
    """Id of the request event that began the run."""
    correlation_id: UUID = Field(alias="correlationid")
    """Id of the first event of everything that followed from one ask."""
    causation_id: UUID = Field(alias="causationid")
    """Id of what caused this event: an event, or the gateway's accepted request."""
    traceparent: TraceParent | None = None

    def to_json(self) -> bytes:
        """The event as it travels: UTF-8 JSON, absent attributes left out (CloudEvents JSON format §2.2)."""
        return self.model_dump_json(exclude_none=True).encode()
