"""What facts from outside mean: a pure left fold from signals to what is known of an environment besides its log.

Invariants
- Every message of the stream is kept, in its order, with its original bytes and chained to all before it; one that is
  not to be believed is kept with the reason and changes nothing.
- A fact is about the life that its environment had at the fact's own time: one from before the present life began is
  late. So what is known follows from the two streams, whichever of them is folded first.
- The facts of a life follow from its signals alone, in the order of their stream: nothing here reads what the log says
  of the environment but whose life it is. What is shown is both, laid over one another.
- A fact that is older than what is known of the same thing changes nothing: monitoring and pipelines speak out of turn.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from contracts import subjects
from contracts.envelope import Timestamp, Value
from contracts.names import EnvironmentName
from contracts.queries import DeploymentState, DeploymentView, EnvironmentView, RunningState
from contracts.signals import SIGNAL_VERSIONS, CostRecorded, DeploymentRecorded, HealthChanged, Signal, parse_signal
from contracts.upcasting import is_newer
from services.catalog.domain.costs import RecordedCost, alive_seconds, cost, with_recorded
from services.catalog.domain.records import Head, Message, NewerReleaseError, chained
from services.catalog.domain.reminders import capped

SignalRejection = Literal["malformed", "misplaced", "duplicate", "orphaned", "late", "unfoldable"]
"""Why a message counts for nothing: it is no signal of ours; it stands on a subject that is not its own; one of its id
was there before; it speaks of an environment nobody asked for; it is from before the present life; folding it
failed."""
RENEWAL_IS_WORTH: Final = timedelta(hours=1)
"""By how much a deployment must move an end for that to be said: a busy day would fill the log otherwise."""

_STATES: Final[dict[str, Literal["queued", "deploying", "deployed", "failed"]]] = {
    "queued": "queued",
    "started": "deploying",
    "succeeded": "deployed",
    "failed": "failed",
}
_ORDER: Final = ("queued", "deploying", "deployed", "failed")
_WORSE: Final[tuple[RunningState, ...]] = ("unknown", "healthy", "degraded", "down")
MOST_CHECKS: Final = 50


class Check(Value):
    """What one check said last."""

    name: str
    state: RunningState
    reason: str
    at: Timestamp


class Facts(Value):
    """What is known from outside of one life of an environment."""

    name: EnvironmentName
    incarnation: UUID
    last_deployment: DeploymentView | None = None
    last_successful_deployment: DeploymentView | None = None
    running: RunningState = "unknown"
    running_since: Timestamp | None = None
    running_reason: str = ""
    checks: tuple[Check, ...] = ()
    """What each check of its health said last, the newest last."""
    costs: tuple[RecordedCost, ...] = ()
    last_activity_at: Timestamp | None = None
    last_sequence: int = 0
    """Of `SIGNALS`."""

    @property
    def deployment(self) -> DeploymentState:
        """How far its last deployment has got."""
        return self.last_deployment.state if self.last_deployment is not None else "none"


@dataclass(frozen=True, slots=True)
class Life:
    """Which life an environment has, and since when."""

    incarnation: UUID
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of the stream and what to make of it."""

    message: Message
    signal: Signal | None
    rejection: SignalRejection | None = None


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """One row of the copy of the stream."""

    sequence: int
    subject: bytes
    body: bytes
    hash: bytes
    rejection: SignalRejection | None
    signal_id: UUID | None
    environment: str | None
    incarnation: UUID | None
    """The life that it counts for."""
    kind: str | None
    time: datetime | None


@dataclass
class SignalBatch:
    """What folding a run of messages comes to; stored as a whole or not at all."""

    before: Head
    head: Head
    records: list[SignalRecord] = field(default_factory=list)
    facts: dict[str, Facts] = field(default_factory=dict)
    """By environment, only what changed."""


def hear(message: Message) -> Heard:
    """What a message is, judged by itself. Raises `NewerReleaseError` where a newer release must judge."""
    try:
        signal = parse_signal(message.body)
    except ValueError:
        if is_newer(message.body, message.subject.decode(errors="replace"), SIGNAL_VERSIONS):
            raise NewerReleaseError(f"fact {message.sequence} was said by a newer release") from None
        return Heard(message, None, "malformed")
    if subjects.of_signal(signal).encode() != message.subject:
        return Heard(message, signal, "misplaced")
    return Heard(message, signal)


def life_of(view: EnvironmentView) -> Life:
    """The present life of an environment, or its last."""
    return Life(view.incarnation, view.created_at)


def project_signals(
    head: Head,
    lives: Mapping[str, Life],
    facts: Mapping[str, Facts],
    heard: Sequence[Heard],
    already_recorded: Collection[UUID] = (),
    *,
    on_error: Callable[[Signal, Exception], None],
) -> SignalBatch:
    """Fold messages that follow `head` into what is known of the environments they speak of. `already_recorded` are ids
    of theirs that the store has from before."""
    batch = SignalBatch(head, head)
    ids = set(already_recorded)
    for one in heard:
        rejection, after = one.rejection, None
        life = lives.get(one.signal.subject) if one.signal is not None and one.signal.subject is not None else None
        if one.signal is not None and rejection is None:
            rejection = _reason_against(one.signal, life, ids)
        if one.signal is not None and rejection is None:
            before = batch.facts.get(one.signal.subject or "") or facts.get(one.signal.subject or "")
            try:
                after = _fold(before, life, one.signal, one.message.sequence)
            except Exception as error:  # noqa: BLE001 - one poisonous fact must not stop the stream for everybody
                on_error(one.signal, error)
                rejection = "unfoldable"
            else:
                ids.add(one.signal.id)
        if after is not None:
            batch.facts[after.name] = after
        record = _record(one, rejection, life if rejection is None else None, batch.head.hash)
        batch.records.append(record)
        batch.head = Head(record.sequence, record.hash)
    return batch


def fold_fact(facts: Facts, signal: Signal, sequence: int) -> Facts:
    """What is known of a life after a signal about it, stored at `sequence`."""
    if isinstance(signal, DeploymentRecorded):
        facts = facts.model_copy(update=_deployed(facts, signal))
    elif isinstance(signal, HealthChanged):
        facts = facts.model_copy(update=_changed_health(facts, signal))
    elif isinstance(signal, CostRecorded):
        facts = facts.model_copy(update={"costs": with_recorded(facts.costs, signal.data)})
    return facts.model_copy(update={"last_sequence": sequence})


def shown(view: EnvironmentView, facts: Facts | None, now: datetime) -> EnvironmentView:
    """An environment as it is answered: what the log says, what is known from outside, and what it costs by now."""
    update: dict[str, object] = {"alive_seconds": alive_seconds(view, now)}
    known = facts if facts is not None and facts.incarnation == view.incarnation else None
    update["cost"] = cost(view, known.costs if known is not None else (), now)
    if known is not None:
        update |= {
            "deployment": known.deployment,
            "last_deployment": known.last_deployment,
            "last_successful_deployment": known.last_successful_deployment,
            "last_activity_at": latest(view.last_activity_at, known.last_activity_at),
        }
        if view.state != "deleted":  # whatever somebody still says of it, nothing runs
            update |= {
                "running": known.running,
                "running_since": known.running_since,
                "running_reason": known.running_reason or None,
            }
    return view.model_copy(update=update)


def renewed(view: EnvironmentView, facts: Facts | None, lives_on: timedelta) -> datetime | None:
    """The end that a preview has because it was deployed to, `lives_on` from then; None where that is none other than
    it has, or too little to speak of."""
    if facts is None or facts.incarnation != view.incarnation or facts.last_activity_at is None:
        return None
    if view.spec.kind != "preview" or view.state != "ready" or view.expires_at is None:
        return None
    wanted = capped(view, facts.last_activity_at + lives_on)
    return wanted if wanted is not None and wanted - view.expires_at >= RENEWAL_IS_WORTH else None


def latest(*moments: datetime | None) -> datetime | None:
    """The last of some moments."""
    return max((moment for moment in moments if moment is not None), default=None)


# -- judging -----------------------------------------------------------------------------------------------------------


def _reason_against(signal: Signal, life: Life | None, ids: Collection[UUID]) -> SignalRejection | None:
    if signal.id in ids:
        return "duplicate"
    if not isinstance(signal, DeploymentRecorded | HealthChanged | CostRecorded):
        return None  # what people say may be about anything
    if life is None:
        return "orphaned"
    # A period is over when its cost is told; what it cost may be told long after.
    at = signal.data.period_end if isinstance(signal, CostRecorded) else signal.time
    return "late" if at < life.began_at else None


def _fold(before: Facts | None, life: Life | None, signal: Signal, sequence: int) -> Facts | None:
    if life is None or signal.subject is None:
        return None
    if before is None or before.incarnation != life.incarnation:
        before = Facts(name=signal.subject, incarnation=life.incarnation)
    return fold_fact(before, signal, sequence)


def _record(one: Heard, rejection: SignalRejection | None, life: Life | None, before: bytes) -> SignalRecord:
    message = one.message
    signal = one.signal if rejection not in {"malformed", "misplaced"} else None
    return SignalRecord(
        sequence=message.sequence,
        subject=message.subject,
        body=message.body,
        hash=chained(before, message),
        rejection=rejection,
        signal_id=signal.id if signal else None,
        environment=signal.subject if signal else None,
        incarnation=life.incarnation if life else None,
        kind=signal.kind if signal else None,
        time=signal.time if signal else None,
    )


# -- facts -------------------------------------------------------------------------------------------------------------


def _deployed(facts: Facts, signal: DeploymentRecorded) -> dict[str, Any]:
    said = signal.data
    view = DeploymentView(
        deployment_id=said.deployment_id,
        state=_STATES[said.state],
        commit=said.commit,
        branch=said.branch,
        author=said.author,
        at=signal.time,
        duration_seconds=said.duration_seconds,
        log_url=str(said.log_url) if said.log_url is not None else None,
    )
    update: dict[str, Any] = {"last_activity_at": latest(facts.last_activity_at, signal.time)}
    if _is_news(facts.last_deployment, view):
        update["last_deployment"] = view
    if view.state == "deployed" and _is_news(facts.last_successful_deployment, view):
        update["last_successful_deployment"] = view
    return update


def _is_news(known: DeploymentView | None, said: DeploymentView) -> bool:
    if known is None:
        return True
    if known.deployment_id == said.deployment_id:  # it never goes back
        return _ORDER.index(said.state) >= _ORDER.index(known.state)
    return said.at >= known.at


def _changed_health(facts: Facts, signal: HealthChanged) -> dict[str, Any]:
    said = signal.data
    if any(one.name == said.check and one.at > signal.time for one in facts.checks):
        return {}
    check = Check(name=said.check, state=said.state, reason=said.reason, at=signal.time)
    checks = [*(one for one in facts.checks if one.name != said.check), check]
    while len(checks) > MOST_CHECKS:
        checks.remove(next((one for one in checks if _WORSE.index(one.state) < 2), checks[0]))
    worst = max(checks, key=lambda one: _WORSE.index(one.state))
    since = facts.running_since if worst.state == facts.running and facts.running_since is not None else signal.time
    return {
        "checks": tuple(checks),
        "running": worst.state,
        "running_since": since,
        "running_reason": worst.reason,
    }
