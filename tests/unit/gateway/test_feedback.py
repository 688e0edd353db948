"""What people say, what became of it, and a survey that asks once a quarter: as API and as a page."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contracts.feedback import TicketView
from contracts.signals import Reply, SurveyDeclined
from services.gateway.domain.feedback import GiveFeedback, next_quarter_begins, quarter_begins
from tests import samples
from tests.unit.gateway.rig import Rig, principal

ORIGIN = {"Origin": "http://slipway.test"}
EVIL = '<img src=x onerror="window.pwned=1">\n{{7*7}}'


async def say(rig: Rig, text: str = "It is slow", person: str = "ada", **more: Any) -> UUID:
    ask = GiveFeedback.model_validate({"text": text, **more})
    return (await rig.gateway.listening.feedback(principal(person=person), ask, str(uuid4()))).id


def ticket(**more: Any) -> TicketView:
    values = {"ticket": "platform/feedback#7", "title": "It is slow", "url": "https://forge.test/7"}
    return TicketView.model_validate({**values, "opened_at": samples.AT, **more})


def answered(text: str = "Look again.", **more: Any) -> TicketView:
    return ticket(replies=2, reply=Reply(author="grace", text=text, at=samples.AT), changed_at=samples.AT, **more)


async def post(client: httpx.AsyncClient, address: str, **sent: str) -> httpx.Response:
    text = (await client.get("/feedback")).text
    token = text.partition('name="csrf_token" value="')[2].partition('"')[0]
    return await client.post(address, data={"csrf_token": token, "request_key": str(uuid4()), **sent}, headers=ORIGIN)


@pytest.mark.parametrize(
    ("moment", "begins", "next_begins"),
    [
        (datetime(2026, 11, 23, 13, tzinfo=UTC), "2026-10-01", "2027-01-01"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01", "2026-04-01"),
        (datetime(2026, 9, 30, 23, 59, tzinfo=UTC), "2026-07-01", "2026-10-01"),
    ],
)
def test_a_quarter_begins_with_its_first_month(moment: datetime, begins: str, next_begins: str) -> None:
    assert f"{quarter_begins(moment):%Y-%m-%d}" == begins
    assert f"{next_quarter_begins(moment):%Y-%m-%d}" == next_begins


async def test_everybody_gets_their_own_feedback_with_its_ticket_whatever_their_role() -> None:
    rig = Rig()
    waiting, told = await say(rig, "Still waiting", page="/runs"), await say(rig)
    await say(rig, "Not yours", person="eve")
    rig.voices.tickets[told] = answered(state="closed", outcome="completed")
    for role in ("viewer", "admin"):
        async with rig.client(await rig.token(role)) as client:
            body = (await client.get("/api/v1/feedback")).json()
        assert [item["id"] for item in body["items"]] == [str(told), str(waiting)]
    first, second = body["items"]
    assert (first["ticket"]["state"], first["ticket"]["outcome"]) == ("closed", "completed")
    assert (first["ticket"]["reply"]["author"], first["ticket"]["reply"]["text"]) == ("grace", "Look again.")
    assert (second["text"], second["page"], second["ticket"]) == ("Still waiting", "/runs", None)


async def test_feedback_goes_on_where_a_page_ended_and_a_cursor_is_its_owners() -> None:
    rig = Rig()
    for number in range(3):
        await say(rig, f"number {number}")
    async with rig.client(await rig.token()) as client:
        first = (await client.get("/api/v1/feedback", params={"limit": 2})).json()
        rest = (await client.get("/api/v1/feedback", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["text"] for one in (*first["items"], *rest["items"])] == ["number 2", "number 1", "number 0"]
    assert rest["next_cursor"] is None
    async with rig.client(await rig.token(person="eve")) as client:
        assert (await client.get("/api/v1/feedback", params={"cursor": first["next_cursor"]})).status_code == 422


async def test_the_api_takes_feedback_once_for_its_key() -> None:
    rig = Rig()
    async with rig.client(await rig.token("viewer")) as client:
        ids = {
            (
                await client.post("/api/v1/feedback", json={"text": "More paths"}, headers={"Idempotency-Key": "k"})
            ).json()["id"]
            for _ in "12"
        }
        wrong = await client.post("/api/v1/feedback", json={"text": "x", "page": "https://evil.test"})
    assert len(ids) == len(rig.signals.said) == 1
    assert wrong.status_code == 422


async def test_the_page_shows_ones_tickets_and_whatever_was_written_only_as_text() -> None:
    rig = Rig()
    told = await say(rig, f"Slow {EVIL}", page="/runs")
    await say(rig, "Not yours", person="eve")
    rig.voices.tickets[told] = answered(EVIL, url="javascript:alert(1)")
    async with rig.browser(await rig.session()) as client:
        text = (await client.get("/feedback")).text
    assert "&lt;img src=x onerror=" in text
    assert "<img" not in text
    assert "javascript:" not in text
    assert "{{7*7}}" in text
    for shown in ("grace", "the latest of 2 replies", "platform/feedback#7", "Open", 'href="/runs"'):
        assert shown in text
    assert "Not yours" not in text
    assert "every 3s" not in text


async def test_the_page_looks_again_while_a_ticket_is_awaited() -> None:
    rig = Rig()
    await say(rig)
    async with rig.browser(await rig.session()) as client:
        assert "every 3s" in (await client.get("/feedback")).text


async def test_feedback_can_be_given_while_nobody_knows_what_became_of_it() -> None:
    rig = Rig()
    rig.voices.away = True
    async with rig.browser(await rig.session()) as client:
        shown = await client.get("/feedback")
        sent = await post(client, "/feedback", text="Are you there?")
    assert (shown.status_code, sent.status_code) == (200, 303)
    assert "cannot be shown at the moment" in shown.text
    assert "How satisfied" not in shown.text
    assert len(rig.signals.said) == 1


@pytest.mark.parametrize(
    ("address", "sent", "said"),
    [
        ("/feedback/survey", {"score": "4", "why": ""}, "You answered"),
        ("/feedback/survey/decline", {}, "You did not want to be asked"),
    ],
)
async def test_a_survey_is_asked_once_a_quarter_on_every_device(address: str, sent: dict[str, str], said: str) -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        assert "How satisfied" in (await client.get("/feedback")).text
        assert (await post(client, address, **sent)).status_code == 303
    async with rig.browser(await rig.session()) as another:
        text = (await another.get("/feedback")).text
        assert said in text
        assert "How satisfied" not in text
        assert "1 January 2027" in text
    async with rig.browser(await rig.session(person="eve")) as somebody_else:
        assert "How satisfied" in (await somebody_else.get("/feedback")).text
    rig.clock.at += timedelta(days=60)
    async with rig.browser(await rig.session()) as next_quarter:
        assert "How satisfied" in (await next_quarter.get("/feedback")).text


async def test_home_asks_until_somebody_has_answered_or_does_not_want_to() -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        assert "How satisfied" in (await client.get("/")).text
        answer = await post(client, "/feedback/survey/decline", **{"from": "home"})
        assert answer.headers["Location"] == "/?done=survey_declined"
        assert "How satisfied" not in (await client.get("/")).text
    async with rig.browser(await rig.session(person="eve")) as client:
        rig.voices.away = True
        shown = await client.get("/")
        assert shown.status_code == 200
        assert "How satisfied" not in shown.text


async def test_whoever_said_not_now_may_answer_after_all_and_counts_once() -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        for _ in "12":
            await post(client, "/feedback/survey/decline")
        assert "How satisfied" in (await client.get("/feedback", params={"survey": "open"})).text
        await post(client, "/feedback/survey", score="2", why="")
        assert "How satisfied" not in (await client.get("/feedback", params={"survey": "open"})).text
    assert sum(isinstance(one, SurveyDeclined) for one in rig.signals.said.values()) == 1
