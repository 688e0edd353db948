"""What the deed does with what it finds in the ledger."""

from datetime import timedelta

import pytest

from chassis.clock import FixedClock
from chassis.failures import PermanentError, TransientError
from contracts.topology import HEARS
from services.notifier.adapters.memory import MemoryLedger, MemoryMessenger
from services.notifier.domain import Announced, Channels
from services.notifier.handlers import Handlers
from services.notifier.ports import NotSentError
from services.notifier.subscriptions import RETRY_DELAYS_SECONDS, subscriptions
from tests import samples
from tests.unit.notifier import events


class Team:
    """A notifier, and what its team reads."""

    def __init__(self) -> None:
        self.clock = FixedClock(samples.AT)
        self.ledger = MemoryLedger(self.clock)
        self.slack = MemoryMessenger(self.clock)
        channels = Channels("deployments", {"web": "web-deploys"})
        self.handlers = Handlers(
            self.ledger, self.slack, channels, self.clock, "http://127.0.0.1:8000", timedelta(hours=72)
        )

    @property
    def titles(self) -> list[str]:
        return [posted.announcement.title for posted in self.slack.channels["deployments"]]

    @property
    def states(self) -> list[str]:
        return [entry.state for entry in self.ledger.rows.values()]


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.mark.parametrize("event", events.EVERY_KIND, ids=lambda event: event.kind)
async def test_a_redelivered_event_is_told_once(team: Team, event: Announced) -> None:
    await team.handlers.announce(event)
    await team.handlers.announce(event)
    assert len(team.titles) == 1
    assert team.states == ["sent"]


async def test_what_certainly_did_not_arrive_is_sent_again_without_a_search(team: Team) -> None:
    event = events.ready()
    team.slack.busy_seconds = 7
    with pytest.raises(NotSentError) as busy:
        await team.handlers.announce(event)
    assert busy.value.delay_seconds == 7
    assert team.states == ["unsent"]
    team.slack.busy_seconds = None
    await team.handlers.announce(event)
    assert team.titles == ["demo-api is ready"]


async def test_what_may_have_arrived_stays_in_doubt_until_the_channel_is_searched(team: Team) -> None:
    event = events.ready()
    team.slack.away = True
    with pytest.raises(TransientError):
        await team.handlers.announce(event)
    assert team.states == ["sending"]
    with pytest.raises(TransientError):
        await team.handlers.announce(event)
    team.slack.away = False
    await team.handlers.announce(event)
    assert (team.titles, team.states) == (["demo-api is ready"], ["sent"])


async def test_old_news_wakes_nobody_even_when_it_comes_again(team: Team) -> None:
    event = events.later(events.ready(), -timedelta(hours=73))
    await team.handlers.announce(event)
    await team.handlers.announce(event)
    assert (team.titles, team.states) == ([], ["stale"])


async def test_news_that_grew_old_while_slack_was_away_is_still_told(team: Team) -> None:
    event = events.ready()
    team.slack.busy_seconds = 1
    with pytest.raises(NotSentError):
        await team.handlers.announce(event)
    team.slack.busy_seconds = None
    team.clock.at += timedelta(hours=100)
    await team.handlers.announce(event)
    assert team.titles == ["demo-api is ready"]


async def test_a_warning_that_comes_when_the_time_is_up_is_left_unsaid(team: Team) -> None:
    event = events.expiring(left=timedelta(hours=2))
    team.slack.busy_seconds = 1
    with pytest.raises(NotSentError):
        await team.handlers.announce(event)
    team.slack.busy_seconds = None
    team.clock.at += timedelta(hours=3)
    await team.handlers.announce(event)
    assert (team.titles, team.states) == ([], ["stale"])


async def test_a_warning_that_may_have_arrived_is_looked_for_before_it_is_left_unsaid(team: Team) -> None:
    event = events.expiring(left=timedelta(hours=2))
    channel = team.slack.channels["deployments"]
    await team.handlers.announce(event)
    entry = next(iter(team.ledger.rows.values()))
    entry.state, entry.ts = "sending", None
    team.clock.at += timedelta(hours=3)
    await team.handlers.announce(event)
    assert (len(channel), team.states) == (1, ["sent"])


async def test_a_refusal_can_be_mended_and_replayed(team: Team) -> None:
    event = events.ready(team="web")
    with pytest.raises(PermanentError):
        await team.handlers.announce(event)
    assert team.states == ["unsent"]
    team.slack.channels["web-deploys"] = []
    await team.handlers.announce(event)
    assert len(team.slack.channels["web-deploys"]) == 1
    assert team.titles == []


def test_the_table_hears_what_the_topology_says(team: Team) -> None:
    rows = subscriptions(team.handlers)
    assert tuple(row.hears for row in rows) == HEARS["notifier"]
    assert all(row.says is None for row in rows)
    assert 2 * 3600 < sum(RETRY_DELAYS_SECONDS) < 4 * 3600
