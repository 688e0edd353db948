"""Facts from outside: deployments, health, cost, tickets, feedback. They travel on the stream `SIGNALS`, belong to no
run, and may be said by other systems; whoever says one is named by `source`.
"""

from typing import Annotated, ClassVar, Final, Literal, get_args
from uuid import UUID

from pydantic import AnyHttpUrl, ConfigDict, Discriminator, Field, StringConstraints, TypeAdapter

from contracts import upcasting
from contracts.envelope import Timestamp, TraceParent, Value
from contracts.names import BranchName, EnvironmentName, PersonName, RepositoryName
from contracts.values import Text

Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}$")]


class Signal(Value):
    """One fact that something outside the platform's runs has established (CloudEvents 1.0, structured JSON)."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True)
    kind: ClassVar[str]

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9./-]{0,99}$")]
    type: str
    subject: EnvironmentName | None = None
    """The environment's name; absent where the fact is about the platform."""
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: TraceParent | None = None

    def to_json(self) -> bytes:
        """The signal as it travels: UTF-8 JSON without absent attributes."""
        return self.model_dump_json(exclude_none=True).encode()


class Deployment(Value):
    deployment_id: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    state: Literal["queued", "started", "succeeded", "failed"]
    commit: Commit
    branch: BranchName
    author: PersonName
    duration_seconds: float | None = Field(default=None, ge=0)
    log_url: AnyHttpUrl | None = None


class DeploymentRecorded(Signal):
    """A deployment of an environment changed its state."""

    kind = "deployment_recorded"
    type: Literal["slipway.DeploymentRecorded.v1"] = "slipway.DeploymentRecorded.v1"
    data: Deployment


class Health(Value):
    state: Literal["healthy", "degraded", "down", "unknown"]
    reason: Text = ""
    check: Annotated[str, StringConstraints(max_length=100)] = ""
    """Which of several checks says so, for instance an alert; an environment is as well as the worst of them says."""


class HealthChanged(Signal):
    """What monitoring says of an environment changed."""

    kind = "health_changed"
    type: Literal["slipway.HealthChanged.v1"] = "slipway.HealthChanged.v1"
    data: Health


class Cost(Value):
    amount: float = Field(ge=0)
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    """ISO 4217."""
    period_start: Timestamp
    period_end: Timestamp


class CostRecorded(Signal):
    """What an environment cost in a period."""

    kind = "cost_recorded"
    type: Literal["slipway.CostRecorded.v1"] = "slipway.CostRecorded.v1"
    data: Cost


class Ticket(Value):
    ticket: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    title: Annotated[str, StringConstraints(max_length=200)]
    url: AnyHttpUrl
    feedback_id: UUID | None = None
    """The feedback that it is about."""
    person: PersonName | None = None
    """Who gave that."""


class TicketOpened(Signal):
    """A ticket was opened for the platform team."""

    kind = "ticket_opened"
    type: Literal["slipway.TicketOpened.v1"] = "slipway.TicketOpened.v1"
    data: Ticket


class Reply(Value):
    """What somebody wrote under a ticket. It is their text, to be shown as text."""

    author: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    """Their name where the ticket is."""
    text: Text
    at: Timestamp


class TicketStatus(Value):
    """How a ticket stands. It says everything each time, so the newest one is all there is to know."""

    ticket: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    feedback_id: UUID
    """The feedback that it is about."""
    title: Annotated[str, StringConstraints(max_length=200)]
    url: AnyHttpUrl
    state: Literal["open", "closed"]
    outcome: Literal["completed", "not_planned", "duplicate"] | None = None
    """Why it is closed, where that is known."""
    replies: int = Field(default=0, ge=0)
    reply: Reply | None = None
    """The latest."""


class TicketChanged(Signal):
    """A ticket was opened, answered, closed or opened again; `time` is when."""

    kind = "ticket_changed"
    type: Literal["slipway.TicketChanged.v1"] = "slipway.TicketChanged.v1"
    data: TicketStatus


class Feedback(Value):
    person: PersonName
    text: Text
    page: Annotated[str, StringConstraints(max_length=300)] = ""
    run_id: UUID | None = None


class FeedbackGiven(Signal):
    """Somebody told the platform team what they think."""

    kind = "feedback_given"
    type: Literal["slipway.FeedbackGiven.v1"] = "slipway.FeedbackGiven.v1"
    data: Feedback


class Answer(Value):
    person: PersonName
    score: int = Field(ge=1, le=5)
    text: Text = ""


class SurveyAnswered(Signal):
    """Somebody answered the quarterly survey."""

    kind = "survey_answered"
    type: Literal["slipway.SurveyAnswered.v1"] = "slipway.SurveyAnswered.v1"
    data: Answer


class Silence(Value):
    person: PersonName


class SurveyDeclined(Signal):
    """Somebody does not want to be asked again in this quarter."""

    kind = "survey_declined"
    type: Literal["slipway.SurveyDeclined.v1"] = "slipway.SurveyDeclined.v1"
    data: Silence


class PreviewNote(Value):
    repository: RepositoryName
    number: int = Field(ge=1, le=2**31 - 1)
    what: Literal["creating", "deleting", "refused", "moved", "deployed", "not_deployed"]
    """It is being made, or taken away; it will not be (`reason` says why); there is another commit to show; or one was
    deployed, or could not be."""
    commit: Commit | None = None
    """Where a member had to agree to it: which one may be shown; or the one that was deployed, of the branch that the
    preview is deployed from."""
    log_url: AnyHttpUrl | None = None
    """Where it is told how the deployment went."""
    reason: Text = ""
    person: PersonName | None = None


class PreviewNoted(Signal):
    """Something was decided about the preview of a pull request; `subject` is its environment, where it has one."""

    kind = "preview_noted"
    type: Literal["slipway.PreviewNoted.v1"] = "slipway.PreviewNoted.v1"
    data: PreviewNote


AnySignal = Annotated[
    DeploymentRecorded
    | HealthChanged
    | CostRecorded
    | TicketOpened
    | TicketChanged
    | FeedbackGiven
    | SurveyAnswered
    | SurveyDeclined
    | PreviewNoted,
    Discriminator("type"),
]
ANY_SIGNAL: Final[TypeAdapter[AnySignal]] = TypeAdapter(AnySignal)
SIGNAL_TYPES: Final[tuple[type[Signal], ...]] = get_args(get_args(AnySignal)[0])
SIGNAL_VERSIONS: Final = upcasting.versions(kind.model_fields["type"].default for kind in SIGNAL_TYPES)


def parse_signal(body: bytes) -> AnySignal:
    """The fact in `body`, lifted to today's version where it is of an older one. Raises `pydantic.ValidationError` for
    anything that is not one of ours."""
    return upcasting.read(ANY_SIGNAL.validate_json, body)
