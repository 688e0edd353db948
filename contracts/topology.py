"""Who says what, who hears what, in which stream, and what each may do on the bus because of it.

Everything the provisioning job makes (streams, durable consumers) and every permission of a credential is derived
from the two tables `HEARS` and `SAYS`; a test holds them against each service's `subscriptions.py`.

Permissions follow one rule: a subscribe permission does not bind a JetStream consumer, so nobody but the provisioning
job may create one. A service may publish its own events, fetch from its own durable, acknowledge what it fetched,
read events of an environment (from any server by its subject, and from the leader, which takes the subject in the
question and so cannot be confined to one), and receive its own inbox.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from contracts import subjects
from contracts.envelope import Event, ServiceName
from contracts.events import (
    BY_KIND,
    AccessGranted,
    AccessRequested,
    AccessRevocationRequested,
    AccessRevoked,
    DriftDetected,
    EnvironmentDeleted,
    EnvironmentDeletionRequested,
    EnvironmentExpired,
    EnvironmentExpiring,
    EnvironmentExtended,
    EnvironmentFailed,
    EnvironmentReady,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    PipelineCreated,
    PipelineFailed,
    PipelineRemoved,
    RunCancelRequested,
    RunRetryRequested,
    RunStalled,
    SecretsFailed,
    SecretsRevoked,
    SecretsStored,
)
from contracts.queries import GetEnvironment
from contracts.signals import FeedbackGiven, PreviewNoted, TicketChanged, TicketOpened
from contracts.values import Step
from contracts.webhooks import OUTWARD_KINDS

SERVICES: Final[tuple[ServiceName, ...]] = get_args(ServiceName)
User = ServiceName | Literal["deploy", "client"]
"""A credential on the bus: a service, the provisioning job, or another company system that sends requests."""

SAYS: Final[dict[ServiceName, tuple[type[Event], ...]]] = {
    "gateway": (
        EnvironmentRequested,
        EnvironmentUpdateRequested,
        EnvironmentDeletionRequested,
        RunCancelRequested,
        RunRetryRequested,
        AccessRequested,
        AccessRevocationRequested,
        EnvironmentExtended,
    ),
    "provisioner": (InfraReady, InfraFailed, InfraDestroyed),
    "secrets": (SecretsStored, SecretsFailed, SecretsRevoked, AccessGranted, AccessRevoked),
    "cicd": (PipelineCreated, PipelineFailed, PipelineRemoved),
    "catalog": (
        EnvironmentReady,
        EnvironmentFailed,
        EnvironmentDeleted,
        EnvironmentExpiring,
        EnvironmentExpired,
        EnvironmentExtended,
        EnvironmentDeletionRequested,
        DriftDetected,
        EnvironmentUpdateRequested,
        RunStalled,
    ),
    "notifier": (),
}

HEARS: Final[dict[ServiceName, tuple[type[Event], ...]]] = {
    "gateway": (),
    "provisioner": (EnvironmentRequested, EnvironmentUpdateRequested, InfraFailed, SecretsRevoked),
    "secrets": (InfraReady, SecretsFailed, PipelineRemoved, AccessRequested, AccessRevocationRequested),
    "cicd": (SecretsStored, PipelineFailed, EnvironmentDeletionRequested),
    "catalog": (),  # everything: its durable has no filter of kinds
    "notifier": (
        EnvironmentReady,
        EnvironmentFailed,
        EnvironmentDeleted,
        RunStalled,
        EnvironmentExpiring,
        EnvironmentExpired,
        DriftDetected,
    ),
}

STEPS: Final[dict[ServiceName, Step]] = {"provisioner": "infrastructure", "secrets": "secrets", "cicd": "pipeline"}
"""The step of the saga that a service carries out."""


@dataclass(frozen=True)
class StreamSpec:
    """A JetStream stream: file storage, limits retention unless said otherwise, `discard: new` (except where messages
    are scheduled: the server refuses the two together, 10052)."""

    name: str
    subjects: tuple[str, ...]
    max_age_seconds: int = 0
    """0 keeps for ever."""
    permanent: bool = False
    """Deletes and purges are denied."""
    work_queue: bool = False
    """A message is gone when its one consumer acknowledges it."""
    message_schedules: bool = False
    atomic_batches: bool = False
    duplicate_window_seconds: int = 120


FEEDS_KEPT_SECONDS: Final = 30 * 86400
"""How long a team's feed keeps an event."""

STREAMS: Final = (
    StreamSpec(subjects.ENVIRONMENTS, ("environment.*.*",), permanent=True, atomic_batches=True),
    StreamSpec(subjects.SIGNALS, ("signal.*.*",), permanent=True, atomic_batches=True),
    StreamSpec(subjects.TIMERS, ("timer.>",), message_schedules=True),
    StreamSpec(subjects.STEP_LOGS, ("step_log.*.*",), max_age_seconds=30 * 86400),
    StreamSpec(
        subjects.DEAD_LETTERS,
        (
            "dead_letter.>",
            "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
            "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>",
        ),
        max_age_seconds=90 * 86400,
    ),
    StreamSpec(subjects.REPLAYS, ("replay.>",), work_queue=True),
    StreamSpec(subjects.FEEDS, ("feed.*.*.*",), max_age_seconds=FEEDS_KEPT_SECONDS, duplicate_window_seconds=3600),
)


@dataclass(frozen=True)
class ConsumerSpec:
    """A durable pull consumer. Attempts are counted by the service (`max_deliver` is unlimited), so that no message
    ever vanishes without a dead letter. `ack_wait_seconds` is how long a crash delays a message."""

    service: ServiceName
    stream: str
    durable: str
    filter_subjects: tuple[str, ...]
    ack_wait_seconds: int = 15
    max_ack_pending: int = 1000


OUTWARD: Final = "notifier-outward"
"""The durables from which the notifier passes on what means something outside."""


def _consumers() -> tuple[ConsumerSpec, ...]:
    found: list[ConsumerSpec] = []
    for service in SERVICES:
        if heard := HEARS[service]:
            filters = tuple(subjects.every_event_of_kind(event.kind) for event in heard)
            found.append(ConsumerSpec(service, subjects.ENVIRONMENTS, service, filters))
            found.append(ConsumerSpec(service, subjects.REPLAYS, service, (subjects.replay(service, ">"),)))
    found.append(
        ConsumerSpec(
            "catalog",
            subjects.ENVIRONMENTS,
            "catalog",
            (subjects.ALL_ENVIRONMENT_EVENTS,),
            max_ack_pending=20_000,
        )
    )
    found.append(ConsumerSpec("catalog", subjects.SIGNALS, "catalog", (subjects.ALL_SIGNALS,), max_ack_pending=20_000))
    found.append(ConsumerSpec("catalog", subjects.TIMERS, "catalog", (subjects.timer_fired("*", "*"),)))
    found.append(ConsumerSpec("cicd", subjects.SIGNALS, "cicd", (subjects.every_signal_of_kind(FeedbackGiven.kind),)))
    found.append(
        ConsumerSpec("cicd", subjects.SIGNALS, "cicd-previews", (subjects.every_signal_of_kind(PreviewNoted.kind),))
    )
    # Beside its events, of which nobody shall wait for a comment.
    verdicts = (EnvironmentReady, EnvironmentFailed, EnvironmentDeleted)
    commented = tuple(subjects.every_event_of_kind(event.kind) for event in verdicts)
    found.append(ConsumerSpec("cicd", subjects.ENVIRONMENTS, "cicd-comments", commented))
    # What means something outside is passed on beside what is told in channels: neither waits for the other.
    outward = tuple(subjects.every_event_of_kind(kind) for kind in OUTWARD_KINDS if kind in BY_KIND)
    facts = tuple(subjects.every_signal_of_kind(kind) for kind in OUTWARD_KINDS if kind not in BY_KIND)
    found.append(ConsumerSpec("notifier", subjects.ENVIRONMENTS, OUTWARD, outward))
    found.append(ConsumerSpec("notifier", subjects.SIGNALS, OUTWARD, facts))
    return tuple(found)


CONSUMERS: Final = _consumers()


@dataclass(frozen=True)
class Permissions:
    """What one NATS user may publish and subscribe; `allow_responses` lets it answer what it was asked."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    allow_responses: bool = False


def inbox_prefix(user: str) -> str:
    """Where a user's replies arrive; nobody else may listen there."""
    return f"_INBOX.{user}"


def permissions(user: User) -> Permissions:
    """Exactly what `user` needs. Raises KeyError for a name that is no user."""
    inbox = (f"{inbox_prefix(user)}.>",)
    if user == "deploy":
        return Permissions(
            ("$JS.API.>", "$JS.ACK.>", *(s for spec in STREAMS for s in spec.subjects if s[0] != "$")), inbox
        )
    if user == "client":
        return Permissions((subjects.request("*"),), inbox)

    publish = [subjects.every_event_of_kind(event.kind) for event in SAYS[user]]
    publish += [
        f"dead_letter.{user}.>",
        f"$JS.API.DIRECT.GET.{subjects.ENVIRONMENTS}.environment.*.>",
        f"$JS.API.STREAM.MSG.GET.{subjects.ENVIRONMENTS}",
    ]
    if step := STEPS.get(user):
        publish.append(f"step_log.*.{step}")
    for consumer in CONSUMERS:
        if consumer.service == user:
            if consumer.stream == subjects.REPLAYS:
                publish.append(subjects.replay(user, ">"))  # what it leaves to a newer process of its own
            path = f"{consumer.stream}.{consumer.durable}"
            publish += [f"$JS.API.CONSUMER.INFO.{path}", f"$JS.API.CONSUMER.MSG.NEXT.{path}", f"$JS.ACK.{path}.>"]
    if user == "catalog":
        publish += [
            f"$JS.API.DIRECT.GET.{subjects.ENVIRONMENTS}",
            f"$JS.API.STREAM.INFO.{subjects.ENVIRONMENTS}",
            f"$JS.API.DIRECT.GET.{subjects.SIGNALS}",
            f"$JS.API.STREAM.INFO.{subjects.SIGNALS}",
            subjects.timer_set("*", "*"),
            subjects.query("*", "provisioner"),
        ]
        return Permissions(tuple(publish), (*inbox, subjects.query("*")), allow_responses=True)
    if user == "gateway":
        publish += [
            subjects.query("*"),
            subjects.query("*", "provisioner"),
            subjects.query("*", "notifier"),
            subjects.query("*", "secrets"),
            "replay.>",
            "signal.*.*",
            f"$JS.API.DIRECT.GET.{subjects.ENVIRONMENTS}",
            f"$JS.API.DIRECT.GET.{subjects.STEP_LOGS}",
            f"$JS.API.DIRECT.GET.{subjects.DEAD_LETTERS}",
            f"$JS.API.STREAM.INFO.{subjects.DEAD_LETTERS}",
        ]
        hears = (*inbox, subjects.request("*"), subjects.ALL_ENVIRONMENT_EVENTS, "step_log.*.*")
        return Permissions(tuple(publish), hears, allow_responses=True)
    publish += _MORE.get(user, ())
    if user in _ANSWERING:
        return Permissions(tuple(publish), (*inbox, subjects.query("*", user)), allow_responses=True)
    return Permissions(tuple(publish), inbox)


_ANSWERING: Final = frozenset({"provisioner", "notifier", "secrets"})
"""Who is asked by name; the catalog is asked without one."""
_MORE: Final[dict[User, tuple[str, ...]]] = {
    "cicd": (
        *(subjects.every_signal_of_kind(kind.kind) for kind in (TicketOpened, TicketChanged)),
        f"$JS.API.DIRECT.GET.{subjects.SIGNALS}.{subjects.of_platform(TicketChanged)}",
    ),
    # Whose an environment is, where an event does not say so.
    "notifier": ("feed.*.*.*", subjects.query(GetEnvironment.name)),
}
"""What else a service publishes."""
