"""Hearing of what means something outside, and telling whoever listens."""

from uuid import UUID, uuid4

import pytest

from chassis.failures import TransientError
from chassis.reading import Found
from contracts import subjects
from contracts.envelope import Event
from contracts.events import AccessChange, AccessGranted
from contracts.signals import Deployment, DeploymentRecorded, Signal
from services.notifier.adapters.memory_webhooks import MemoryListener, MemoryOwners
from services.notifier.domain.news import Ownership
from services.notifier.handlers.hearing import Hearing
from tests import samples
from tests.unit.notifier import events

READY = frozenset({"environment_ready"})


def found(said: Event | Signal, *, subject: str | None = None, sequence: int = 7) -> Found:
    place = subject or (subjects.of(said) if isinstance(said, Event) else subjects.of_signal(said))
    return Found(place, said.to_json(), f"$JS.ACK.S.notifier-outward.1.{sequence}.1.0.0")


def granted() -> AccessGranted:
    request = samples.requested(events.KEY, "demo-api", uuid4())
    change = AccessChange(requested_by="ada", role="viewer", person="bob")
    return samples.follows(events.KEY, AccessGranted, change, request, source="secrets")


def deployed(environment: str | None = "demo-api") -> DeploymentRecorded:
    return DeploymentRecorded(
        id=uuid4(),
        source="argo-cd",
        subject=environment,
        time=samples.AT,
        data=Deployment(deployment_id="1", state="succeeded", commit="abcdef0", branch="main", author="ada"),
    )


def hearing(*listeners: MemoryListener, owners: MemoryOwners | None = None) -> Hearing:
    def is_genuine(event: Event) -> bool:
        return event.id == events.KEY.derive(event.causation_id, event.kind)

    async def look_again() -> None:
        """Everything is known."""

    return Hearing(listeners, owners or MemoryOwners(), is_genuine, lambda found: b".v9" in found.body, look_again)


async def test_everybody_hears_what_they_want_and_whose_it_is() -> None:
    keen, picky = MemoryListener(READY | {"environment_failed"}), MemoryListener(READY)

    await hearing(keen, picky).hear([found(events.ready()), found(events.failed()), found(events.deleted())])

    assert [news.kind for news in keen.heard] == ["environment_ready", "environment_failed"]
    [news] = picky.heard
    assert (news.environment, news.owned) == ("demo-api", Ownership("payments", "nodejs-api"))


async def test_what_nobody_wants_is_not_even_read() -> None:
    unreadable = Found("environment.demo-api.environment_ready", b"\xff", "$JS.ACK.S.C.1.7.1.0.0")

    await hearing(MemoryListener()).hear([unreadable, found(granted())])


@pytest.mark.parametrize(
    "message",
    [
        Found("environment.demo-api.environment_ready", b"{}", "$JS.ACK.S.C.1.7.1.0.0"),
        Found("environment.demo-api.environment_ready", b"not JSON", "$JS.ACK.S.C.1.7.1.0.0"),
        found(events.ready(), subject="environment.other.environment_ready"),
        found(events.ready().model_copy(update={"id": uuid4()})),
    ],
)
async def test_what_is_malformed_or_misplaced_or_forged_is_no_news_and_its_neighbours_are(message: Found) -> None:
    listener = MemoryListener(READY)

    await hearing(listener).hear([message, found(ready := events.ready())])

    assert [news.message for news in listener.heard] == [ready]


async def test_the_catalog_says_whose_it_is_where_the_message_does_not() -> None:
    grant = granted()
    owners = MemoryOwners({"demo-api": Ownership("search", "worker")}, {"demo-api": grant.incarnation})
    listener = MemoryListener(frozenset({"access_granted", "deployment_recorded"}))

    await hearing(listener, owners=owners).hear([found(grant, sequence=42), found(deployed())])

    assert [news.owned.team for news in listener.heard] == ["search", "search"]
    assert owners.asked == [("demo-api", 42), ("demo-api", 0)]


async def test_what_belongs_to_another_life_of_the_name_or_to_nobody_is_nobodys_news() -> None:
    owners = MemoryOwners({"demo-api": Ownership("search", "worker")}, {"demo-api": UUID(int=1)})
    listener = MemoryListener(frozenset({"access_granted", "deployment_recorded"}))

    await hearing(listener, owners=owners).hear([found(granted()), found(deployed("gone")), found(deployed(None))])

    assert listener.heard == []


async def test_a_listener_that_is_away_hears_it_again() -> None:
    class Away(MemoryListener):
        async def hear(self, news: object) -> None:
            raise TransientError(f"away, so not told of {news}")

    with pytest.raises(TransientError):
        await hearing(Away(READY)).hear([found(events.ready())])
