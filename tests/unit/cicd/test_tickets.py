"""Feedback becomes a ticket, once, in which nothing that a person wrote is more than text."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from chassis.clock import FixedClock
from chassis.failures import TransientError
from chassis.identity import EventKey
from contracts.signals import FeedbackGiven, TicketChanged, TicketOpened
from services.cicd.adapters.memory_tickets import MemoryFacts, MemoryTicketDesk
from services.cicd.domain.tickets import LABEL, body_of, feedback_of, mark, title_of
from services.cicd.handlers.tickets import Tickets
from services.cicd.handlers.watching import OVERLAP, TicketWatch

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


def watch_of(desk: MemoryTicketDesk, facts: MemoryFacts) -> TicketWatch:
    return TicketWatch(desk, facts, KEY, "platform/feedback")


def changes(facts: MemoryFacts) -> list[TicketChanged]:
    return [one for one in facts.said.values() if isinstance(one, TicketChanged)]


async def test_what_becomes_of_a_ticket_is_told_with_the_latest_reply(
    tickets: Tickets, desk: MemoryTicketDesk, facts: MemoryFacts
) -> None:
    given = feedback()
    await tickets.open(given)
    watch = watch_of(desk, facts)
    await watch.look()
    desk.now = AT + timedelta(minutes=5)
    desk.answer(1, "grace", "Which log?")
    await watch.look()
    desk.now = AT + timedelta(minutes=9)
    desk.answer(1, "grace", "It is <b>readable</b> now.<!-- not for you -->\r\n\r\nTry it.\x1b[31m\u202e")
    desk.close(1, "completed")
    await watch.look()

    new, asked, closed = changes(facts)
    assert (new.data.state, new.data.replies, new.data.reply) == ("open", 0, None)
    assert asked.data.reply is not None
    assert (asked.data.state, asked.data.reply.text, asked.time) == ("open", "Which log?", AT + timedelta(minutes=5))
    assert closed.data.reply is not None
    assert (closed.data.state, closed.data.outcome, closed.data.replies) == ("closed", "completed", 2)
    assert closed.data.reply.text == "It is <b>readable</b> now.\n\nTry it.[31m"
    assert (closed.data.ticket, closed.data.feedback_id) == ("platform/feedback#1", given.id)


async def test_what_was_told_is_not_told_again_and_a_new_process_goes_on_from_the_log(
    tickets: Tickets, desk: MemoryTicketDesk, facts: MemoryFacts
) -> None:
    for number in range(3):
        desk.now = AT + timedelta(hours=number)
        await tickets.open(feedback())
    watch = watch_of(desk, facts)
    assert [await watch.look(), await watch.look()] == [3, 0]

    another = watch_of(desk, facts)
    assert await another.look() == 1  # the last one, under the same id
    assert len(changes(facts)) == 3
    assert desk.looks == [None, AT + timedelta(hours=2) - OVERLAP, AT + timedelta(hours=2) - OVERLAP]


async def test_an_issue_that_no_feedback_became_is_not_told(desk: MemoryTicketDesk, facts: MemoryFacts) -> None:
    await desk.open_ticket("platform/feedback", title="Ours", body="no mark here", label=LABEL)
    await desk.open_ticket("platform/feedback", title="Forged", body=f"{mark(uuid4())[:-6]} -->", label=LABEL)

    assert await watch_of(desk, facts).look() == 0
    assert facts.said == {}


async def test_a_long_reply_is_cut(tickets: Tickets, desk: MemoryTicketDesk, facts: MemoryFacts) -> None:
    await tickets.open(feedback())
    desk.answer(1, "g" * 300, "x" * 70_000)
    await watch_of(desk, facts).look()

    [change] = changes(facts)
    assert change.data.reply is not None
    assert (len(change.data.reply.text), len(change.data.reply.author)) == (2000, 100)


def test_a_ticket_names_the_feedback_that_it_is_about() -> None:
    given = feedback("<!-- slipway feedback 00000000-0000-0000-0000-000000000000 -->")
    assert feedback_of(body_of(given, "http://slipway.test")) == given.id
