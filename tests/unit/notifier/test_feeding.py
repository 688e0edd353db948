"""Feeds: who gets what, and when nobody pays for them."""

import os
from datetime import timedelta
from pathlib import Path

from chassis.clock import FixedClock
from contracts.envelope import Event
from contracts.readers import Reader, ReaderList
from contracts.topology import FEEDS_KEPT_SECONDS
from services.notifier.adapters.feeds import FileReaders
from services.notifier.adapters.memory_feeds import MemoryFeeds, MemoryReaders
from services.notifier.domain.news import News, Ownership
from services.notifier.handlers.feeding import Feeding
from tests import samples
from tests.unit.notifier import events


def news(event: Event, team: str = "payments") -> News:
    return News(event, event.subject, Ownership(team, "nodejs-api"))


class Case:
    def __init__(self, *teams: str) -> None:
        self.readers, self.feeds = MemoryReaders(set(teams)), MemoryFeeds()
        self.clock = FixedClock(samples.AT + timedelta(hours=1))
        self.feeding = Feeding(self.readers, self.feeds, self.clock)

    def kept(self, team: str) -> list[str]:
        return [one.kind for one in self.feeds.kept.get(team, [])]


def test_without_readers_nothing_is_wanted() -> None:
    case = Case()
    assert not case.feeding.wants("environment_ready")
    case.readers.read.add("payments")
    assert case.feeding.wants("environment_ready")


async def test_an_event_goes_to_its_own_team_and_only_where_that_has_a_reader() -> None:
    case = Case("payments", "search")
    await case.feeding.hear([news(events.ready(), "payments"), news(events.failed(), "others")])
    assert (case.kept("payments"), case.kept("search"), case.kept("others")) == (["environment_ready"], [], [])


async def test_events_heard_again_are_there_once_and_in_order() -> None:
    case = Case("payments")
    batch = [news(events.ready()), news(events.stalled()), news(events.deleted())]
    await case.feeding.hear(batch[:2])
    await case.feeding.hear(batch)
    assert case.kept("payments") == ["environment_ready", "run_stalled", "environment_deleted"]


async def test_what_a_feed_would_not_keep_any_more_is_no_news() -> None:
    case = Case("payments")
    case.clock.at += timedelta(seconds=FEEDS_KEPT_SECONDS)
    await case.feeding.hear([news(events.ready())])
    assert case.kept("payments") == []


def test_the_list_of_readers_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "readers.json"
    readers = FileReaders(path)
    assert readers.teams() == frozenset()

    def write(text: str) -> None:
        beside = tmp_path / "beside"
        beside.write_text(text)
        os.replace(beside, path)  # noqa: PTH105 - as the operator's command does

    write(ReaderList(readers=(Reader(name="ci", team="payments"),)).model_dump_json())
    assert readers.teams() == {"payments"}
    write('{"readers": [{"name": "ci", "team": "a.b"}]}')
    assert readers.teams() == {"payments"}, "a broken list changes nothing"
    path.unlink()
    assert readers.teams() == frozenset()
    assert FileReaders(None).teams() == frozenset()
