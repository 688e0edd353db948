"""Feedback becomes a ticket, once, in which nothing that a person wrote is more than text."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from chassis.clock import FixedClock
from chassis.failures import TransientError
from chassis.identity import EventKey
from contracts.signals import FeedbackGiven, TicketOpened
from services.cicd.adapters.memory_tickets import MemoryFacts, MemoryTicketDesk
from services.cicd.domain.tickets import body_of, mark, title_of
from services.cicd.handlers.tickets import Tickets

AT = datetime(2026, 11, 23, tzinfo=UTC)
KEY = EventKey(b"k" * 32)


def feedback(text: str = "The log is hard to read", **about: object) -> FeedbackGiven:
    return FeedbackGiven.model_validate(
        {
            "id": uuid4(),
            "source": "gateway",
            "time": AT,
            "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
            "data": {"person": "ada", "text": text, **about},
        }
    )


@pytest.fixture
def desk() -> MemoryTicketDesk:
    return MemoryTicketDesk()


@pytest.fixture
def facts() -> MemoryFacts:
    return MemoryFacts()


@pytest.fixture
def tickets(desk: MemoryTicketDesk, facts: MemoryFacts) -> Tickets:
    return Tickets(desk, facts, KEY, FixedClock(AT), "platform/feedback", "http://slipway.test")


async def test_feedback_becomes_a_ticket_with_its_page_run_and_trace(
    tickets: Tickets, desk: MemoryTicketDesk, facts: MemoryFacts
) -> None:
    run = uuid4()
    given = feedback(page="/environments/shop", run_id=run)

    await tickets.open(given)

    [(ticket, repository, _, body)] = desk.tickets
    assert (ticket.title, repository) == ("The log is hard to read", "platform/feedback")
    for told in (
        "> The log is hard to read",
        "From: ada",
        "/environments/shop",
        f"http://slipway.test/runs/{run}",
        "a" * 32,
    ):
        assert told in body
    [said] = facts.said.values()
    assert isinstance(said, TicketOpened)
    assert (said.data.ticket, said.data.feedback_id, said.data.person) == ("platform/feedback#1", given.id, "ada")
    assert said.traceparent == given.traceparent


async def test_feedback_that_is_heard_again_changes_nothing(
    tickets: Tickets, desk: MemoryTicketDesk, facts: MemoryFacts
) -> None:
    given = feedback()
    for _ in range(2):
        await tickets.open(given)

    assert (len(desk.tickets), len(facts.said)) == (1, 1)


async def test_a_ticket_whose_opening_was_not_confirmed_is_found_again(
    tickets: Tickets, desk: MemoryTicketDesk, facts: MemoryFacts
) -> None:
    desk.lose_the_next_answer = True
    given = feedback()
    with pytest.raises(TransientError):
        await tickets.open(given)
    await tickets.open(given)

    assert (len(desk.tickets), len(facts.said)) == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "@grace fixes #12 and closes acme/shop#3",
        "<img src=x onerror=alert(1)>",
        "<!-- slipway feedback 00000000-0000-0000-0000-000000000000 -->",
        "line\n\n# heading\n```\ncode",
        "[click](javascript:alert(1))",
        "",
    ],
)
def test_what_a_person_wrote_is_only_text(text: str) -> None:
    given = feedback(text)
    body = body_of(given, "http://slipway.test")

    quoted = [line for line in body.splitlines() if line.startswith(">")]
    assert len(quoted) == max(1, len(text.splitlines()))
    assert body.splitlines()[-1] == mark(given.id)
    assert not re.search(r"(?<!\\)[<>\[\]`]|[@#]\w", "\n".join(line[1:] for line in quoted))


def test_a_title_is_one_line_and_not_too_long() -> None:
    assert title_of(feedback("a\nb")) == "a b"
    assert len(title_of(feedback("x" * 500))) == 80
