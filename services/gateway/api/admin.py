"""`/admin`: for the platform team. Dead letters, and sending them back; the catalog's views, folded anew."""

import base64
from typing import Annotated, Final

from fastapi import Path, Query
from pydantic import BaseModel, Field

from contracts.envelope import Timestamp
from contracts.maintenance import Rebuild
from services.gateway.api.answers import API
from services.gateway.api.auth import ADMIN
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.domain.admission import Ask
from services.gateway.ports import DeadLetter

PAGE_OF_NAMES: Final = 200

Sequence = Annotated[int, Path(ge=1, le=2**53, description="The dead letter's sequence")]


class RebuildViews(Ask):
    """Which views to look at."""

    after: str = Field(default="", max_length=40)
    limit: int = Field(default=PAGE_OF_NAMES, ge=1, le=1000)
    replace: bool = False


class RebuiltViews(BaseModel):
    """What became of a page of names; those that differ are what the log says now, where that was asked for."""

    names: int
    events: int
    differing: list[str]
    next_after: str | None


class DeadLetterAnswer(BaseModel):
    """A message that a service could not handle."""

    sequence: int
    service: str
    subject: str
    reason: str
    error: str
    time: Timestamp | None
    size_bytes: int
    original_sequence: int | None
    trace_id: str | None
    replayable: bool


class DeadLetterWithBody(DeadLetterAnswer):
    """The same with the message's original bytes."""

    body_base64: str


class DeadLetterPage(BaseModel):
    """Dead letters, newest first."""

    items: list[DeadLetterAnswer]
    next_before: int | None


class Replayed(BaseModel):
    """Where a dead letter went."""

    service: str
    subject: str
    sequence: int


async def list_dead_letters(
    asker: Asker,
    gateway: Deeds,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DeadLetterPage:
    """The messages that were laid aside, newest first; they are kept for 90 days."""
    found = await gateway.dead_letters.page(asker, before, limit)
    more = found[-1].sequence if len(found) == limit else None
    return DeadLetterPage(items=[_answer(letter) for letter in found], next_before=more)


async def get_dead_letter(sequence: Sequence, asker: Asker, gateway: Deeds) -> DeadLetterWithBody:
    """One of them, with its original bytes."""
    letter = await gateway.dead_letters.find(asker, sequence)
    return DeadLetterWithBody(**_answer(letter).model_dump(), body_base64=base64.b64encode(letter.body).decode())


async def replay_dead_letter(sequence: Sequence, asker: Asker, key: IdempotencyKey, gateway: Deeds) -> Replayed:
    """Send a dead letter back to the service that laid it aside, byte for byte. Mend the cause first."""
    letter, stored = await gateway.dead_letters.replay(asker, sequence, key)
    return Replayed(service=letter.service, subject=letter.subject, sequence=stored)


async def rebuild_views(body: RebuildViews, asker: Asker, gateway: Deeds) -> RebuiltViews:
    """Fold the views of a page of names anew from the catalog's copy of the log and compare them with those stored;
    with `replace` put the new ones in place of those that differ. Go on with `after` = `next_after`."""
    question = Rebuild(after=body.after, limit=body.limit, replace=body.replace)
    found = await gateway.maintenance.rebuild(asker, question)
    return RebuiltViews(
        names=found.names, events=found.events, differing=list(found.differing), next_after=found.next_after
    )


def _answer(letter: DeadLetter) -> DeadLetterAnswer:
    return DeadLetterAnswer(
        sequence=letter.sequence,
        service=letter.service,
        subject=letter.subject,
        reason=letter.reason,
        error=letter.error,
        time=letter.time,
        size_bytes=len(letter.body),
        original_sequence=letter.original_sequence,
        trace_id=letter.trace_id,
        replayable=letter.replayable,
    )


_LETTERS = f"{API}/admin/dead-letters"
ENDPOINTS: Final = (
    Endpoint("GET", _LETTERS, list_dead_letters, ADMIN, 200, DeadLetterPage, "admin"),
    Endpoint("GET", f"{_LETTERS}/{{sequence}}", get_dead_letter, ADMIN, 200, DeadLetterWithBody, "admin"),
    Endpoint("POST", f"{_LETTERS}/{{sequence}}/replay", replay_dead_letter, ADMIN, 202, Replayed, "admin"),
    Endpoint("POST", f"{API}/admin/rebuild", rebuild_views, ADMIN, 200, RebuiltViews, "admin"),
)
