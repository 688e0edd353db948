"""What a team is told about each event."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.values import Failure, Owner, Resource
from services.notifier import domain
from services.notifier.domain import Announced, Announcement, Channels, Link, Piece, Told
from tests import samples
from tests.unit.notifier import events

PORTAL = "http://127.0.0.1:8000/"


def words(*lines: tuple[Piece, ...]) -> str:
    return "\n".join("".join(_word(piece) for piece in line) for line in lines)


def _word(piece: Piece) -> str:
    match piece:
        case Told():
            return piece.text
        case Link():
            return f"[{piece.label}]({piece.url})"
        case _:
            return piece


def facts(announcement: Announcement) -> dict[str, str]:
    return {fact.label: words(fact.value) for fact in announcement.facts}


def test_a_ready_environment_is_told_with_its_address_owner_and_time() -> None:
    event = events.ready(spec=samples.spec(expires_at=datetime(2026, 11, 30, 9, 15, tzinfo=UTC)))
    said = domain.announce(event, PORTAL)
    url = "http://demo-api.slipway.localhost:8015"
    assert said.title == "demo-api is ready"
    assert words(*said.paragraphs) == f"[demo-api.slipway.localhost:8015]({url}) answers. It took 42 s."
    assert facts(said)["Owner"] == "ada (payments)"
    assert facts(said)["Kind"] == "preview, until 30 Nov 2026 09:15 UTC"
    assert facts(said)["Repository"] == "[acme/demo-api](http://127.0.0.1:8018/acme/demo-api) on main"
    assert said.links == (Link("Open", url), Link("See the run", f"http://127.0.0.1:8000/runs/{event.run_id}"))


def test_an_environment_without_an_address_promises_none() -> None:
    said = domain.announce(events.ready(infrastructure=samples.infrastructure().model_copy(update={"url": None})), "")
    assert words(*said.paragraphs) == "It took 42 s."
    assert said.links == ()


def test_an_attached_repository_asks_for_its_pull_request() -> None:
    pipeline = samples.pipeline().model_copy(update={"pull_request_url": "http://127.0.0.1:8018/acme/demo-api/pull/1"})
    said = domain.announce(events.ready(pipeline=pipeline), PORTAL)
    assert "[the pull request](http://127.0.0.1:8018/acme/demo-api/pull/1)" in words(*said.paragraphs)


def test_a_failure_is_told_with_reason_next_step_and_what_is_left() -> None:
    said = domain.announce(events.failed(), PORTAL)
    assert said.title == "demo-api failed"
    assert words(*said.paragraphs).splitlines() == [
        "The secrets step failed after 5 attempts: OpenBao did not answer",
        "Next step: Try again.",
        "Not everything could be undone. It took 3 min 20 s.",
    ]
    undone, left = said.items
    assert (undone.heading, words(*undone.lines)) == ("Undone", "namespace demo-api")
    assert left.heading == "Left behind"
    assert words(*left.lines) == "database apps/env_demo_api: it holds data that we did not make"


def test_a_failure_that_left_nothing_says_so() -> None:
    assert "Nothing is left behind." in words(*domain.announce(events.failed(left_behind=()), "").paragraphs)
    nothing = domain.announce(events.failed(left_behind=(), created=(), undone=()), "")
    assert "Nothing had been created." in words(*nothing.paragraphs)
    assert nothing.items == ()


def test_a_single_attempt_is_not_counted() -> None:
    failure = Failure(step="pipeline", code="x", message="m", next_step="n")
    said = domain.announce(events.failed(failure=failure), "")
    assert words(said.paragraphs[0]) == "The pipeline step failed: m"


def test_a_deletion_is_told_with_what_went() -> None:
    said = domain.announce(events.deleted(), PORTAL)
    assert (said.title, said.tone) == ("demo-api is deleted", "gone")
    assert words(*said.paragraphs) == "Nothing is left of it. It took 2 h 5 min."
    assert words(*said.items[0].lines) == "namespace demo-api\ndatabase apps/env_demo_api"


def test_a_stalled_run_is_told_with_its_step_and_wait() -> None:
    said = domain.announce(events.stalled(), PORTAL)
    assert words(said.paragraphs[0]) == "The pipeline step has made no progress for 12 min."


def test_long_lists_end() -> None:
    many = tuple(Resource(kind="route", id=str(n)) for n in range(25))
    (items,) = domain.announce(events.deleted(removed=many), "").items
    assert (len(items.lines), items.more) == (10, 15)


@pytest.mark.parametrize("event", [events.ready(), events.failed(), events.deleted(), events.stalled()])
def test_every_announcement_leads_to_its_run(event: Announced) -> None:
    urls = [link.url for link in domain.announce(event, PORTAL).links]
    assert f"http://127.0.0.1:8000/runs/{event.run_id}" in urls


def test_a_team_reads_its_own_channel_or_the_common_one() -> None:
    channels = Channels("#deployments", {"payments": "#payments-deploys"})
    assert channels.of(Owner(person="ada", team="payments")) == "payments-deploys"
    assert channels.of(Owner(person="ada", team="web")) == "deployments"


def test_news_is_stale_after_its_time() -> None:
    event, after = events.ready(), timedelta(hours=72)
    assert not domain.is_stale(event, event.time + after, after)
    assert domain.is_stale(event, event.time + after + timedelta(seconds=1), after)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-1, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (3661, "1 h 1 min")],
)
def test_lengths_of_time_read_as_people_say_them(seconds: float, text: str) -> None:
    assert domain.duration(seconds) == text
