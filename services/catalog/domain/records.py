"""What is kept of a message, and how a run of messages becomes one transaction. Pure.

Invariants
- Every message is kept, in the order of the log, with its original bytes. One that is not to be believed (malformed,
  misplaced, forged, a duplicate, about nothing known) is kept with the reason and changes no view.
- `hash` chains each record to all before it, so a copy that was tampered with shows.
- `version` counts an environment's events without a gap.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol
from uuid import UUID

from contracts import subjects
from contracts.envelope import Event
from contracts.events import (
    DriftDetected,
    EnvironmentDeletionRequested,
    EnvironmentExpired,
    EnvironmentExpiring,
    EnvironmentExtended,
    EnvironmentUpdateRequested,
    parse,
)
from contracts.queries import RunView
from contracts.upcasting import is_genuine
from services.catalog.domain.folding import Known, fold, seen, superseded
from services.catalog.domain.verdicts import Verdict, decide

Rejection = Literal["malformed", "misplaced", "forged", "duplicate", "orphaned", "unfoldable"]

EXPLANATIONS: Final[Mapping[Rejection, str]] = {
    "malformed": "not an event of ours",
    "misplaced": "the event stands on a subject that is not its own",
    "forged": "the event's id does not follow from its cause",
    "duplicate": "an event of this id was there before",
    "orphaned": "the event speaks of an environment nobody asked for",
    "unfoldable": "folding the event failed; the catalog's log has the traceback",
}

CONDITIONAL: Final = frozenset(
    kind.kind
    for kind in (
        EnvironmentExpiring,
        EnvironmentExpired,
        EnvironmentExtended,
        EnvironmentDeletionRequested,
        DriftDetected,
        EnvironmentUpdateRequested,
    )
)
"""What holds only as long as nothing has happened to the environment since the decision's cause."""

DeriveId = Callable[[UUID, str], UUID]
"""The id that an event of a kind has because of its cause."""


class Message(Protocol):
    """A message as the log has it. `subject` may be any bytes that the bus lets through."""

    @property
    def sequence(self) -> int: ...
    @property
    def subject(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Examined:
    """A message and what to make of it: the event in it, or the reason why there is none to believe."""

    message: Message
    event: Event | None
    rejection: Rejection | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """How far the copy reaches: the last sequence, and the hash of its record."""

    sequence: int
    hash: bytes


EMPTY: Final = Head(0, b"")


class Record(NamedTuple):
    """One row of the event store, in the order of its columns."""

    sequence: int
    subject: bytes
    body: bytes
    hash: bytes
    rejection: Rejection | None
    event_id: UUID | None
    environment: str | None
    version: int | None
    kind: str | None
    run_id: UUID | None
    time: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    """An event that has to be said because of the message `cause_sequence`; it counts as said when its id is in the
    event store."""

    event_id: UUID
    cause_sequence: int
    run_id: UUID
    kind: str
    subject: str
    body: bytes

    @property
    def is_conditional(self) -> bool:
        """Whether it may be said only while `cause_sequence` is the last of its environment."""
        return self.kind in CONDITIONAL


@dataclass
class Folded:
    """What is known after a run of messages."""

    known: dict[str, Known] = field(default_factory=dict)
    """By name, only what changed."""
    closed: list[RunView] = field(default_factory=list)
    """Runs that another one followed."""

    def take(self, name: str, before: Known | None, after: Known | None, event: Event | None, sequence: int) -> None:
        """Go on from what is known `before` a message to what is known `after` its event; None: none that counts."""
        if after is None:
            if before is not None:
                self.known[name] = seen(before, sequence)
            return
        self.known[name] = after
        if before is not None and event is not None and before.run.id != after.run.id:
            self.closed.append(before.run if before.run.ended_at is not None else superseded(before.run, event))


@dataclass(kw_only=True)
class Batch(Folded):
    """What folding a run of messages comes to; stored as a whole or not at all."""

    before: Head
    head: Head
    records: list[Record] = field(default_factory=list)
    verdicts: list[tuple[Event, int, Verdict]] = field(default_factory=list)
    """With the event, and its sequence, that calls for each."""


class NewerReleaseError(Exception):
    """An event of a newer release, which must not be judged by this one: a judgement is never taken back."""


def examine(message: Message, derive: DeriveId) -> Examined:
    """What a message is, judged by itself. Raises `NewerReleaseError` where a newer release must judge."""
    try:
        event = parse(message.body)
    except ValueError:
        if is_genuine(message.body, message.subject.decode(errors="replace"), derive):
            raise NewerReleaseError(f"event {message.sequence} was said by a newer release") from None
        return Examined(message, None, "malformed")
    if subjects.of(event).encode() != message.subject:
        return Examined(message, event, "misplaced")
    if event.id != derive(event.causation_id, event.kind):
        return Examined(message, event, "forged")
    return Examined(message, event)


def chained(before: bytes, message: Message) -> bytes:
    """The hash of a record: SHA-256 over the hash before it, the sequence (8 bytes, big-endian), the subject, a zero
    byte and the body."""
    digest = hashlib.sha256(before)
    digest.update(message.sequence.to_bytes(8, "big"))
    digest.update(message.subject)
    digest.update(b"\0")
    digest.update(message.body)
    return digest.digest()


def name_in(subject: bytes) -> str:
    """The environment's name in a subject, or "" where no environment can have that name."""
    token = subject.split(b".")[1]
    return token.decode() if token.isascii() and token.replace(b"-", b"").isalnum() else ""


def project(
    head: Head,
    known: Mapping[str, Known],
    examined: Sequence[Examined],
    already_recorded: Collection[UUID] = (),
    *,
    on_error: Callable[[Event, Exception], None],
) -> Batch:
    """Fold messages that follow `head` into what is `known` of the names they speak of.

    `already_recorded` are ids of theirs that the store has from before. An event whose folding raises is kept,
    reported to `on_error`, and changes nothing: one poisonous event must not stop the log for everybody.
    """
    batch = Batch(before=head, head=head)
    ids = set(already_recorded)
    for one in examined:
        name = name_in(one.message.subject)
        before = batch.known.get(name) or known.get(name)
        rejection, after = one.rejection, None
        if one.event is not None and rejection is None:
            rejection, after, verdict = _judge(before, one.event, one.message.sequence, ids, on_error)
            if verdict is not None:
                batch.verdicts.append((one.event, one.message.sequence, verdict))
        batch.take(name, before, after, one.event, one.message.sequence)
        batch.records.append(_record(one, rejection, after, batch.head.hash))
        batch.head = Head(one.message.sequence, batch.records[-1].hash)
    return batch


def refold(told: Iterable[tuple[str, int, Event | None]], *, on_error: Callable[[Event, Exception], None]) -> Folded:
    """Fold what the copy has of some names, from the first message on: the name, the sequence, and the event if one was
    believed. Gives the views that `project` gave when the messages came; records and verdicts were made then."""
    found = Folded()
    for name, sequence, event in told:
        before = found.known.get(name)
        after = None
        if event is not None:
            try:
                after = fold(before, event, sequence)
            except Exception as error:  # noqa: BLE001 - as in `project`
                on_error(event, error)
        found.take(name, before, after, event, sequence)
    return found


def _judge(
    before: Known | None, event: Event, sequence: int, ids: set[UUID], on_error: Callable[[Event, Exception], None]
) -> tuple[Rejection | None, Known | None, Verdict | None]:
    """Why an event is not counted, or what is known after it and what it calls for."""
    if event.id in ids:
        return "duplicate", None, None
    try:
        after = fold(before, event, sequence)
        verdict = decide(before, after, event) if after is not None else None
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is kept and its neighbours go on
        on_error(event, error)
        return "unfoldable", None, None
    if after is None:
        return "orphaned", None, None
    ids.add(event.id)
    return None, after, verdict


def _record(one: Examined, rejection: Rejection | None, after: Known | None, before_hash: bytes) -> Record:
    message = one.message
    believed = one.event if rejection in {None, "duplicate"} else None
    return Record(
        message.sequence,
        message.subject,
        message.body,
        chained(before_hash, message),
        rejection,
        believed.id if believed else None,
        believed.subject if believed else None,
        after.environment.version if after else None,
        believed.kind if believed else None,
        believed.run_id if believed else None,
        believed.time if believed else None,
    )
