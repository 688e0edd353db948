"""A failing seed can be replayed: everything that is decided follows from it."""

from itertools import pairwise

from tests.faults.points import STORIES
from tests.faults.random_mode import LANES, PARTS, PAUSE_SECONDS, schedule


def test_the_same_seed_gives_the_same_schedule_and_another_seed_another() -> None:
    assert schedule(7, 3) == schedule(7, 3)
    assert schedule(7, 3).lines == schedule(7, 3).lines
    assert schedule(7, 3) != schedule(8, 3)


def test_a_longer_run_of_a_seed_begins_with_the_same_deaths() -> None:
    short, long = schedule(7, 1).deaths, schedule(7, 5).deaths
    assert long[: len(short)] == short
    assert len(long) > len(short)


def test_deaths_come_one_after_the_other_and_no_faster_than_they_may() -> None:
    times = [death.at_seconds for death in schedule(1, 5).deaths]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(PAUSE_SECONDS[0] - 0.01 <= gap <= PAUSE_SECONDS[1] + 0.01 for gap in gaps)
    assert times[-1] < 300


def test_every_service_and_every_part_dies_and_every_story_is_lived_sooner_or_later() -> None:
    plans = [schedule(seed, 5) for seed in range(5)]
    victims = {death.victim for plan in plans for death in plan.deaths}
    assert victims >= {"gateway", "catalog", "provisioner", "secrets", "cicd", "notifier", *PARTS}
    stories = {story for plan in plans for lane in plan.lanes for life in lane for story in life.stories}
    assert stories == {story for story in STORIES if story.operation == "create" or story.fails_at is None}


def test_no_two_lives_share_a_name() -> None:
    plan = schedule(3, 5)
    names = [life.environment for lane in plan.lanes for life in lane]
    assert len(plan.lanes) == LANES
    assert len(set(names)) == len(names)
