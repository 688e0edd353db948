"""The matrix has every point, because it follows from the services' tables."""

import pytest

from chassis.consuming import Subscription
from contracts.events import EVENT_TYPES
from contracts.topology import HEARS, SERVICES, STEPS
from tests.faults.points import REQUESTS, STORIES, Place, Story, places, road, table_of
from tests.saga.driver import CREATED, DELETED, ROAD_BACK

OF_NO_RUN = {"access_requested", "access_revocation_requested"}
"""Nobody waits for these with a run; their deeds are tested by `tests/integration/test_secrets_service.py`."""
OF_THE_CLOCK = {"run_stalled", "environment_expiring", "environment_expired", "drift_detected"}
"""What begins outside a run."""


def test_a_creation_takes_the_road_that_the_saga_tests_know() -> None:
    assert tuple(kind.kind for kind in road(Story("create"))) == CREATED
    assert tuple(kind.kind for kind in road(Story("delete"))) == DELETED


@pytest.mark.parametrize(("service", "word"), [("provisioner", "infra"), ("secrets", "secrets"), ("cicd", "pipeline")])
def test_a_failing_creation_takes_the_road_back_that_the_saga_tests_know(service: str, word: str) -> None:
    kinds = tuple(kind.kind for kind in road(Story("create", service)))  # type: ignore[arg-type]  # one of STEPS
    assert kinds[-len(ROAD_BACK[word]) :] == ROAD_BACK[word]


def test_every_deed_of_every_service_is_cut_before_and_after_its_effect() -> None:
    cut = {(place.service, place.hears, place.point) for story in STORIES for place in places(story)}
    for service in (one for one in SERVICES if HEARS[one]):
        for row in table_of(service):
            kind = row.hears.kind
            if kind not in OF_NO_RUN | OF_THE_CLOCK:
                assert {(service, kind, "before_effect"), (service, kind, "after_effect")} <= cut


def test_every_outcome_of_every_deed_is_cut_after_its_publish() -> None:
    cut = {(place.service, place.says) for story in STORIES for place in places(story) if place.says}
    for service in (one for one in SERVICES if HEARS[one]):
        for row in table_of(service):
            if row.hears.kind not in OF_NO_RUN:
                assert {(service, kind.kind) for kind in row.outcomes} <= cut


def test_the_gateway_and_the_catalog_are_cut_in_every_story_that_has_something_of_its_own() -> None:
    for story in STORIES:
        found = places(story)
        assert any(place.service == "catalog" for place in found)
        assert story.fails_at is not None or any(place.service == "gateway" for place in found)


def test_taking_away_is_tried_longer_than_making_in_every_service() -> None:
    """What an undo gives up on stays behind, and every death while it is under way counts as an attempt."""
    undoing = [
        row for service in STEPS for row in table_of(service) if row.says is not None and row.says is row.or_else
    ]
    assert len(undoing) == 2 * len(STEPS)
    assert all(sum(row.retry_delays_seconds) > 600 for row in undoing)


def test_no_point_is_tried_twice_in_a_story() -> None:
    for story in STORIES:
        found: tuple[Place, ...] = places(story)
        assert len({(place.service, place.kind, place.point) for place in found}) == len(found)


def test_every_step_can_fail_in_some_story() -> None:
    assert {story.fails_at for story in STORIES} - {None} == set(STEPS)
    assert {request.kind for request in REQUESTS.values()} <= {event.kind for event in EVENT_TYPES}
    assert all(isinstance(row, Subscription) for row in table_of("cicd"))
