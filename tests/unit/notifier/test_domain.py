"""What a team is told about each event."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.values import EnvironmentSpec, Failure, LeftBehind, Owner, Resource
from services.notifier import domain
from services.notifier.domain import Announced, Announcement, Channels, Command, Link, Piece, Told
from tests import samples
from tests.unit.notifier import events

PORTAL = "http://127.0.0.1:8000/"
NOW = samples.AT


def words(*lines: tuple[Piece, ...]) -> str:
    return "\n".join("".join(_word(piece) for piece in line) for line in lines)


def _word(piece: Piece) -> str:
    match piece:
        case Told():
            return piece.text
        case Link():
            return f"[{piece.label}]({piece.url})"
        case Command():
            return f"`{piece.text}`"
        case _:
            return piece


def facts(announcement: Announcement) -> dict[str, str]:
    return {fact.label: words(fact.value) for fact in announcement.facts}


def test_a_ready_environment_is_told_with_its_address_owner_and_time() -> None:
    event = events.ready(spec=samples.spec(expires_at=datetime(2026, 11, 30, 9, 15, tzinfo=UTC)))
    said = domain.announce(event, PORTAL, NOW)
    url = "http://demo-api.slipway.localhost:8015"
    assert said.title == "demo-api is ready"
    assert words(*said.paragraphs) == f"[demo-api.slipway.localhost:8015]({url}) answers. It took 42 s."
    assert facts(said)["Owner"] == "ada (payments)"
    assert facts(said)["Kind"] == "preview, until 30 Nov 2026 09:15 UTC"
    assert facts(said)["Repository"] == "[acme/demo-api](http://127.0.0.1:8018/acme/demo-api) on main"
    assert said.links == (Link("Open", url), Link("See the run", f"http://127.0.0.1:8000/runs/{event.run_id}"))


def test_an_environment_without_an_address_promises_none() -> None:
    said = domain.announce(
        events.ready(infrastructure=samples.infrastructure().model_copy(update={"url": None})), "", NOW
    )
    assert words(*said.paragraphs) == "It took 42 s."
    assert said.links == ()


def test_an_attached_repository_asks_for_its_pull_request() -> None:
    pipeline = samples.pipeline().model_copy(update={"pull_request_url": "http://127.0.0.1:8018/acme/demo-api/pull/1"})
    said = domain.announce(events.ready(pipeline=pipeline), PORTAL, NOW)
    assert "[the pull request](http://127.0.0.1:8018/acme/demo-api/pull/1)" in words(*said.paragraphs)


def test_a_failure_is_told_with_reason_next_step_and_what_is_left() -> None:
    said = domain.announce(events.failed(), PORTAL, NOW)
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
    assert "Nothing is left behind." in words(*domain.announce(events.failed(left_behind=()), "", NOW).paragraphs)
    nothing = domain.announce(events.failed(left_behind=(), created=(), undone=()), "", NOW)
    assert "Nothing had been created." in words(*nothing.paragraphs)
    assert nothing.items == ()


def test_a_single_attempt_is_not_counted() -> None:
    failure = Failure(step="pipeline", code="x", message="m", next_step="n")
    said = domain.announce(events.failed(failure=failure), "", NOW)
    assert words(said.paragraphs[0]) == "The pipeline step failed: m"


def test_a_deletion_is_told_with_what_went() -> None:
    said = domain.announce(events.deleted(), PORTAL, NOW)
    assert (said.title, said.tone) == ("demo-api is deleted", "gone")
    assert words(*said.paragraphs) == "Nothing is left of it. It took 2 h 5 min."
    assert words(*said.items[0].lines) == "namespace demo-api\ndatabase apps/env_demo_api"


def test_a_stalled_run_is_told_with_its_step_and_wait() -> None:
    said = domain.announce(events.stalled(), PORTAL, NOW)
    assert words(said.paragraphs[0]) == "The pipeline step has made no progress for 12 min."


def test_long_lists_end() -> None:
    many = tuple(Resource(kind="route", id=str(n)) for n in range(25))
    (items,) = domain.announce(events.deleted(removed=many), "", NOW).items
    assert (len(items.lines), items.more) == (10, 15)


@pytest.mark.parametrize("event", events.EVERY_KIND, ids=lambda event: event.kind)
def test_every_announcement_leads_to_its_run_or_its_environment(event: Announced) -> None:
    urls = [link.url for link in domain.announce(event, PORTAL, NOW).links]
    pages = {f"http://127.0.0.1:8000/runs/{event.run_id}", "http://127.0.0.1:8000/environments/demo-api"}
    assert pages & set(urls)
    assert domain.announce(event, "", NOW).title


# -- updates and repairs -----------------------------------------------------------------------------------------------


def test_an_update_is_told_with_what_changed() -> None:
    before = samples.spec(parameters={"instances": 1, "database": True})
    after = samples.spec(
        branch="trunk", golden_path_version="2.0.0", parameters={"instances": 3, "database": True, "note": "x"}
    )
    said = domain.announce(events.ready(spec=after, previous=before), PORTAL, NOW)
    assert (said.title, said.tone) == ("demo-api is updated", "good")
    (changed,) = said.items
    assert changed.heading == "Changed"
    assert words(*changed.lines).splitlines() == [
        "instances: 1 → 3",
        "note: not set → x",
        "golden path: nodejs-api 1.0.0 → nodejs-api 2.0.0",
        "branch: main → trunk",
    ]


def test_an_update_that_waits_for_a_merge_says_so() -> None:
    pipeline = samples.pipeline().model_copy(update={"pull_request_url": "http://127.0.0.1:8018/acme/demo-api/pull/1"})
    said = domain.announce(events.ready(pipeline=pipeline, previous=samples.spec(branch="old")), PORTAL, NOW)
    assert "to deploy that way." in words(*said.paragraphs)


def test_a_repair_is_told_as_one_and_changes_nothing() -> None:
    said = domain.announce(events.ready(spec=samples.spec(), previous=samples.spec()), PORTAL, NOW)
    assert (said.title, said.items) == ("demo-api is repaired", ())


@pytest.mark.parametrize(
    ("left", "closing"),
    [
        ((), "It is put back as it was."),
        (
            (LeftBehind(resource=events.DATABASE, reason="in use"),),
            "Not everything could be put back as it was.",
        ),
    ],
)
def test_a_failed_update_is_told_with_whether_it_is_as_it_was(left: tuple[LeftBehind, ...], closing: str) -> None:
    said = domain.announce(events.failed(previous=samples.spec(branch="before"), left_behind=left), PORTAL, NOW)
    assert said.title == "demo-api could not be updated"
    assert closing in words(*said.paragraphs)
    assert said.items[0].heading == "Taken away again"


def test_a_failed_repair_is_told_as_one() -> None:
    said = domain.announce(events.failed(previous=samples.spec()), PORTAL, NOW)
    assert said.title == "demo-api could not be repaired"


@pytest.mark.parametrize(
    ("previous", "title"),
    [(None, "demo-api was called off"), (samples.spec(), "demo-api is not updated: the run was called off")],
)
def test_a_run_that_was_called_off_is_no_failure(previous: EnvironmentSpec | None, title: str) -> None:
    failure = Failure(step="pipeline", code="called_off", message="The run was called off.", next_step="Nothing.")
    said = domain.announce(events.failed(failure=failure, previous=previous, left_behind=()), PORTAL, NOW)
    assert (said.title, said.tone) == (title, "gone")
    assert "failed" not in words(*said.paragraphs)


def test_what_is_kept_on_purpose_does_not_look_like_a_failure() -> None:
    kept = LeftBehind(resource=Resource(kind="repository", id="acme/demo-api"), reason="It holds your commits.")
    said = domain.announce(events.deleted(kept=(kept,)), PORTAL, NOW)
    assert words(said.paragraphs[0]).startswith("Nothing is left of it but what was kept on purpose.")
    assert [(items.heading, words(*items.lines)) for items in said.items[1:]] == [
        ("Kept on purpose", "repository acme/demo-api: It holds your commits.")
    ]
    assert "Nothing is left behind." in words(
        *domain.announce(events.failed(left_behind=(), kept=(kept,)), PORTAL, NOW).paragraphs
    )


# -- expiry and drift --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "title"),
    [
        (timedelta(days=2), "demo-api expires in 2 days (25 Nov 09:00 UTC)"),
        (timedelta(hours=2), "demo-api expires in 2 hours (11:00 UTC)"),
        (timedelta(minutes=30), "demo-api expires in 30 minutes (09:30 UTC)"),
        (timedelta(seconds=20), "demo-api expires in 1 minute (09:00 UTC)"),
    ],
)
def test_a_warning_says_how_long_there_is_and_what_to_type(left: timedelta, title: str) -> None:
    said = domain.announce(events.expiring(left=left), PORTAL, NOW)
    assert (said.title, said.tone) == (title, "warning")
    assert words(said.paragraphs[0]) == (
        'Extend: `slipway extend demo-api --ttl 7d` · Keep: `slipway keep demo-api --reason "…"`'
    )
    assert said.links == (Link("Extend or keep", "http://127.0.0.1:8000/environments/demo-api"),)


def test_a_warning_that_is_late_says_how_long_there_still_is() -> None:
    said = domain.announce(events.expiring(left=timedelta(hours=2)), PORTAL, NOW + timedelta(minutes=95))
    assert said.title == "demo-api expires in 25 minutes (11:00 UTC)"


def test_a_warning_is_over_when_the_time_is_up() -> None:
    warning = events.expiring(left=timedelta(hours=2))
    assert not domain.is_over(warning, NOW + timedelta(minutes=119))
    assert domain.is_over(warning, NOW + timedelta(hours=2))
    assert not domain.is_over(events.expired(), NOW + timedelta(days=1))


def test_an_expired_environment_is_told_with_when_and_what_follows() -> None:
    said = domain.announce(events.expired(), PORTAL, NOW + timedelta(seconds=3))
    assert said.title == "demo-api has expired"
    assert words(said.paragraphs[0]) == (
        "Its time was up at 09:00 UTC. It is being deleted now; work in its repository stays."
    )


@pytest.mark.parametrize(
    ("kind", "follows"),
    [
        ("preview", "It is being repaired by itself; you will hear how that ends."),
        ("staging", "It is being repaired by itself; you will hear how that ends."),
        (
            "production",
            "Production is not repaired by itself: look at the differences, then update it or change it back.",
        ),
    ],
)
def test_drift_is_told_with_what_differs_and_who_repairs_it(kind: str, follows: str) -> None:
    said = domain.announce(events.drifted(kind=kind), PORTAL, NOW)
    assert (said.title, said.tone) == ("demo-api has drifted", "warning")
    assert words(said.paragraphs[-1]) == follows
    assert [(items.heading, words(*items.lines)) for items in said.items] == [
        ("Different or missing", "database apps/env_demo_api")
    ]


def test_the_end_of_a_drift_is_told_too() -> None:
    said = domain.announce(events.drifted(differing=()), PORTAL, NOW)
    assert (said.title, said.tone, said.items) == ("demo-api is as it should be again", "good", ())


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (timedelta(days=2), "2 days"),
        (timedelta(hours=47, minutes=58), "2 days"),
        (timedelta(hours=36), "2 days"),
        (timedelta(hours=30), "30 hours"),
        (timedelta(hours=1, minutes=58), "2 hours"),
        (timedelta(minutes=89), "89 minutes"),
        (timedelta(seconds=61), "1 minute"),
        (timedelta(seconds=-5), "1 minute"),
    ],
)
def test_what_remains_is_told_in_one_unit(left: timedelta, text: str) -> None:
    assert domain.remaining(left) == text


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
