"""What people told the platform team, asked of the twin in memory and of a real Postgres."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.feedback import FindFeedback, GetSurvey
from contracts.signals import FeedbackGiven, Signal, SurveyAnswered, SurveyDeclined, TicketChanged, TicketOpened
from services.catalog.adapters.memory_feedback import MemoryVoices
from services.catalog.adapters.postgres_feedback import PostgresVoices
from services.catalog.ports import Voices
from tests.contract.catalogs import NOW, Real, Twin, World, heard, told

MINUTE = timedelta(minutes=1)


@pytest.fixture
def voices(world: World) -> Voices:
    if isinstance(world, Twin):
        return MemoryVoices(world.signals)
    assert isinstance(world, Real)
    return PostgresVoices(world.database)


def given(text: str = "It is slow", person: str = "ada", **more: Any) -> Signal:
    return heard(FeedbackGiven, None, {"person": person, "text": text, "page": "/runs", **more})


def opened(about: UUID, ticket: str = "platform/feedback#1", person: str = "ada") -> Signal:
    data = {"ticket": ticket, "title": "It is slow", "url": "https://forge.test/1", "feedback_id": about}
    return heard(TicketOpened, None, {**data, "person": person})


def changed(about: UUID, state: str, at: timedelta, ticket: str = "platform/feedback#1", **more: Any) -> Signal:
    data = {"ticket": ticket, "feedback_id": about, "title": "It was slow", "url": "https://forge.test/1"}
    return heard(TicketChanged, None, {**data, "state": state, **more}, time=NOW + at)


async def test_feedback_has_its_ticket_with_the_latest_that_was_told_of_it(world: World, voices: Voices) -> None:
    first, second = given(), given("It is fast now")
    reply = {"author": "grace", "text": "Look again.", "at": NOW}
    await told(
        world,
        first,
        opened(first.id),
        changed(first.id, "closed", 2 * MINUTE, outcome="completed", replies=1, reply=reply),
        changed(first.id, "open", MINUTE),  # heard late
        changed(first.id, "open", 3 * MINUTE, ticket="platform/feedback#9"),  # nobody opened that one for it
        second,
    )

    newest, oldest = (await voices.feedback(FindFeedback(person="ada"))).items

    assert (newest.text, newest.ticket) == ("It is fast now", None)
    assert (oldest.id, oldest.text, oldest.page) == (first.id, "It is slow", "/runs")
    ticket = oldest.ticket
    assert ticket is not None
    assert ticket.reply is not None
    assert (ticket.ticket, ticket.title, ticket.state) == ("platform/feedback#1", "It was slow", "closed")
    assert (ticket.outcome, ticket.replies, ticket.reply.text) == ("completed", 1, "Look again.")
    assert (ticket.opened_at, ticket.changed_at) == (NOW, NOW + 2 * MINUTE)


async def test_everybody_finds_their_own_feedback_only(world: World, voices: Voices) -> None:
    mine, theirs = given(), given(person="eve")
    await told(world, mine, theirs, opened(theirs.id, "platform/feedback#2", "eve"))

    assert [one.id for one in (await voices.feedback(FindFeedback(person="ada"))).items] == [mine.id]
    assert [one.id for one in (await voices.feedback(FindFeedback(person="eve"))).items] == [theirs.id]
    assert (await voices.feedback(FindFeedback(person="bob"))).items == ()


async def test_nothing_that_somebody_writes_keeps_the_facts_from_being_read(world: World, voices: Voices) -> None:
    texts = (
        "a\0b",
        '"person":"eve"',
        '","person":"eve","x":"',
        "\\",
        '\\"person\\":\\"eve\\"',
        "\ud7ff\U0010ffff\u202e",
    )
    await told(world, *(given(text) for text in texts))
    await told(world, heard(SurveyAnswered, None, {"person": "ada", "score": 4, "text": "\0"}))

    found = (await voices.feedback(FindFeedback(person="ada"))).items
    assert [one.text for one in reversed(found)] == list(texts)
    assert (await voices.feedback(FindFeedback(person="eve"))).items == ()
    assert (await voices.survey(GetSurvey(person="ada", since=NOW - MINUTE))).answered_at == NOW


async def test_feedback_goes_on_where_a_page_ended(world: World, voices: Voices) -> None:
    await told(world, *(given(str(number)) for number in range(5)))

    first = await voices.feedback(FindFeedback(person="ada", limit=3))
    second = await voices.feedback(FindFeedback(person="ada", limit=3, before_sequence=first.next_before))

    assert [one.text for one in (*first.items, *second.items)] == ["4", "3", "2", "1", "0"]
    assert second.next_before is None


async def test_a_survey_is_answered_or_declined_by_one_person_since_a_moment(world: World, voices: Voices) -> None:
    await told(
        world,
        heard(SurveyAnswered, None, {"person": "ada", "score": 4}, time=NOW - 100 * MINUTE),
        heard(SurveyAnswered, None, {"person": "ada", "score": 5}, time=NOW),
        heard(SurveyDeclined, None, {"person": "eve"}, time=NOW, id=uuid4()),
    )

    async def of(person: str) -> tuple[bool, bool]:
        found = await voices.survey(GetSurvey(person=person, since=NOW - 10 * MINUTE))
        return found.answered_at == NOW, found.declined_at == NOW

    assert [await of(person) for person in ("ada", "eve", "bob")] == [(True, False), (False, True), (False, False)]
